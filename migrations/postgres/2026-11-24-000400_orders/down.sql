DROP TRIGGER flash_sales_update_stock_is_true ON flash_sales;
DROP TRIGGER flash_sales_insert_stock_is_true ON flash_sales;
DROP FUNCTION flash_sales_stock_is_true();
DROP TABLE orders;
DROP FUNCTION orders_give_back_all();
DROP FUNCTION orders_move_units();
DROP FUNCTION orders_give_back_units();
DROP FUNCTION orders_take_units();
DROP TYPE order_status;
-- Without orders, every unit can be bought.
UPDATE flash_sales SET remaining_stock = initial_stock;
