-- The version before knows LIVE sales only, and would open a draft or a cancelled sale at its start: those without orders go, and
-- those with orders get a millisecond of their own each, before all other sales: where they were another sale may be now.
DROP TRIGGER flash_sales_update_notes_admission;
DROP TRIGGER flash_sales_insert_notes_admission;
DELETE FROM flash_sales
WHERE state <> 'LIVE' AND NOT EXISTS (SELECT 1 FROM orders WHERE flash_sale_id = flash_sales.id);
UPDATE flash_sales SET start_time = moved.at, end_time = moved.at + 1
FROM (
    SELECT id, (SELECT min(start_time) FROM flash_sales) - row_number() OVER (ORDER BY id) AS at
    FROM flash_sales WHERE state <> 'LIVE'
) AS moved
WHERE flash_sales.id = moved.id;
UPDATE flash_sales SET admitted_from = NULL, admitted_until = NULL WHERE admitted_from > admitted_until;
DROP TRIGGER flash_sales_update_stock_is_true;
DROP TRIGGER flash_sales_update_notes_time;
DROP TRIGGER flash_sales_update_changes_terms;
DROP TRIGGER flash_sales_update_keeps_state;
DROP TRIGGER flash_sales_update_no_overlap;
DROP TRIGGER flash_sales_insert_no_overlap;
ALTER TABLE flash_sales DROP COLUMN updated_at;
ALTER TABLE flash_sales DROP COLUMN note;
ALTER TABLE flash_sales DROP COLUMN paused_at;
ALTER TABLE flash_sales DROP COLUMN state;
CREATE TRIGGER flash_sales_insert_no_overlap BEFORE INSERT ON flash_sales
WHEN EXISTS (SELECT 1 FROM flash_sales s
    WHERE s.product_id = NEW.product_id AND s.start_time < NEW.end_time AND s.end_time > NEW.start_time)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_no_overlap: another sale of the product overlaps');
END;
CREATE TRIGGER flash_sales_update_no_overlap BEFORE UPDATE OF product_id, start_time, end_time ON flash_sales
WHEN EXISTS (SELECT 1 FROM flash_sales s
    WHERE s.id <> OLD.id AND s.product_id = NEW.product_id AND s.start_time < NEW.end_time AND s.end_time > NEW.start_time)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_no_overlap: another sale of the product overlaps');
END;
CREATE TRIGGER flash_sales_update_changes_terms AFTER UPDATE OF product_id, start_time, end_time, initial_stock ON flash_sales
WHEN NEW.version <= OLD.version
    AND (OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock)
        IS NOT (NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock)
BEGIN
    UPDATE flash_sales SET version = OLD.version + 1 WHERE id = NEW.id;
END;
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE OF id, initial_stock, remaining_stock ON flash_sales
WHEN NEW.moves = OLD.moves
    AND NOT (NEW.id = OLD.id AND NEW.initial_stock > OLD.initial_stock AND NEW.remaining_stock = OLD.remaining_stock)
    AND NEW.remaining_stock <> NEW.initial_stock
        - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_stock_is_true: remaining_stock must be initial_stock less the SUCCESS orders');
END;
CREATE TRIGGER flash_sales_insert_notes_admission AFTER INSERT ON flash_sales
BEGIN
    UPDATE flash_sales SET admitted_from = NEW.start_time, admitted_until = NEW.end_time WHERE id = NEW.id;
END;
CREATE TRIGGER flash_sales_update_notes_admission AFTER UPDATE OF start_time, end_time ON flash_sales
BEGIN
    UPDATE flash_sales
    SET admitted_from = min(OLD.admitted_from, NEW.start_time), admitted_until = max(OLD.admitted_until, NEW.end_time)
    WHERE id = NEW.id;
END;
