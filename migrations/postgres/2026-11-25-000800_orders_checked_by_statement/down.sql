DROP TRIGGER flash_sales_truncate_keeps_named ON flash_sales;
DROP TRIGGER flash_sales_update_keeps_named ON flash_sales;
DROP TRIGGER flash_sales_delete_keeps_named ON flash_sales;
DROP TRIGGER users_truncate_keeps_named ON users;
DROP TRIGGER users_update_keeps_named ON users;
DROP TRIGGER users_delete_keeps_named ON users;
DROP TRIGGER orders_update_names_what_exists ON orders;
DROP TRIGGER orders_insert_names_what_exists ON orders;
DROP FUNCTION orders_keep_what_they_name();
DROP FUNCTION orders_name_what_exists();
DROP FUNCTION orders_need_read_committed();
ALTER TABLE flash_sales ADD CONSTRAINT flash_sales_id_product_id_key UNIQUE (id, product_id);
DROP INDEX orders_flash_sale_id_idx;
CREATE INDEX orders_user_id_idx ON orders (user_id);
ALTER TABLE orders
    DROP CONSTRAINT orders_user_id_flash_sale_id_key,
    ADD CONSTRAINT orders_flash_sale_id_user_id_key UNIQUE (flash_sale_id, user_id),
    ADD CONSTRAINT orders_flash_sale_fkey FOREIGN KEY (flash_sale_id, product_id) REFERENCES flash_sales (id, product_id),
    ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
