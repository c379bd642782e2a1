LOCK TABLE flash_sales, users, orders IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER flash_sales_truncate_keeps_orders ON flash_sales;
DROP TRIGGER flash_sales_update_keeps_orders ON flash_sales;
DROP TRIGGER flash_sales_delete_keeps_orders ON flash_sales;
DROP TRIGGER users_truncate_keeps_orders ON users;
DROP TRIGGER users_update_keeps_orders ON users;
DROP TRIGGER users_delete_keeps_orders ON users;
DROP TRIGGER orders_update_names_what_exists ON orders;
DROP TRIGGER orders_insert_names_what_exists ON orders;
DROP FUNCTION orders_name_nothing();
DROP FUNCTION flash_sales_keep_their_orders();
DROP FUNCTION users_keep_their_orders();
DROP FUNCTION orders_name_what_exists();
DROP FUNCTION orders_lock(BOOLEAN);
ALTER TABLE flash_sales ADD CONSTRAINT flash_sales_id_product_id_key UNIQUE (id, product_id);
DROP INDEX orders_flash_sale_id_idx;
CREATE INDEX orders_user_id_idx ON orders (user_id);
ALTER TABLE orders
    DROP CONSTRAINT orders_user_id_flash_sale_id_key,
    ADD CONSTRAINT orders_flash_sale_id_user_id_key UNIQUE (flash_sale_id, user_id),
    ADD CONSTRAINT orders_flash_sale_fkey FOREIGN KEY (flash_sale_id, product_id) REFERENCES flash_sales (id, product_id),
    ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
