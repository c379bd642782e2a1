LOCK TABLE flash_sales IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER flash_sales_update_changes_terms ON flash_sales;
DROP TRIGGER flash_sales_write_notes_admission ON flash_sales;
DROP TRIGGER flash_sales_update_stock_is_true ON flash_sales;
DROP TRIGGER flash_sales_update_keeps_state ON flash_sales;
DROP FUNCTION flash_sales_keep_state();
DROP INDEX flash_sales_product_id_idx;
-- The version before knows LIVE sales only, and would open a draft or a cancelled sale at its start: those without orders go, and
-- those with orders get a millisecond of their own each, before all other sales: where they were another sale may be now.
DELETE FROM flash_sales s WHERE state <> 'LIVE' AND NOT EXISTS (SELECT FROM orders o WHERE o.flash_sale_id = s.id);
UPDATE flash_sales s SET start_time = moved.at, end_time = moved.at + interval '1 millisecond'
FROM (
    SELECT id, (SELECT min(start_time) FROM flash_sales) - row_number() OVER (ORDER BY id) * interval '1 millisecond' AS at
    FROM flash_sales WHERE state <> 'LIVE'
) moved
WHERE s.id = moved.id;
UPDATE flash_sales SET admitted_from = NULL, admitted_until = NULL WHERE admitted_from > admitted_until;
-- Of the deleted ones; a table with pending events of its triggers cannot be altered.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE flash_sales
    DROP CONSTRAINT flash_sales_no_overlap,
    ADD CONSTRAINT flash_sales_no_overlap
        EXCLUDE USING gist (product_id WITH =, tstzrange(start_time, end_time) WITH &&),
    DROP COLUMN note,
    DROP COLUMN paused_at,
    DROP COLUMN state;
CREATE TRIGGER flash_sales_update_changes_terms BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN ((OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock, OLD.version)
        IS DISTINCT FROM (NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock, NEW.version))
    EXECUTE FUNCTION flash_sales_change_terms();
CREATE OR REPLACE FUNCTION flash_sales_note_admission() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.admitted_from := NEW.start_time;
        NEW.admitted_until := NEW.end_time;
    ELSIF OLD.admitted_from IS NOT NULL THEN
        NEW.admitted_from := least(OLD.admitted_from, NEW.start_time);
        NEW.admitted_until := greatest(OLD.admitted_until, NEW.end_time);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER flash_sales_write_notes_admission BEFORE INSERT OR UPDATE OF start_time, end_time ON flash_sales
    FOR EACH ROW EXECUTE FUNCTION flash_sales_note_admission();
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN (pg_trigger_depth() = 0
        AND (OLD.id, OLD.initial_stock, OLD.remaining_stock)
            IS DISTINCT FROM (NEW.id, NEW.initial_stock, NEW.remaining_stock))
    EXECUTE FUNCTION flash_sales_stock_is_true();
