DROP TRIGGER flash_sales_insert_replaces_none;
DROP TRIGGER flash_sales_update_stock_is_true;
DROP TRIGGER flash_sales_insert_stock_is_true;
DROP TABLE orders;
-- Without orders, every unit can be bought.
UPDATE flash_sales SET remaining_stock = initial_stock;
