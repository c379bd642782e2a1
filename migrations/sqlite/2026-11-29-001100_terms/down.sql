DROP TRIGGER orders_delete_is_noted;
DROP TRIGGER orders_update_is_noted;
DROP TABLE released_orders;
DROP TRIGGER flash_sales_update_remaining_follows;
DROP TRIGGER flash_sales_update_stock_is_true;
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE OF id, initial_stock, remaining_stock ON flash_sales
WHEN NEW.moves = OLD.moves AND NEW.remaining_stock <> NEW.initial_stock
    - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_stock_is_true: remaining_stock must be initial_stock less the SUCCESS orders');
END;
DROP TRIGGER flash_sales_update_keeps_version;
DROP TRIGGER flash_sales_update_changes_terms;
ALTER TABLE flash_sales DROP COLUMN version;
