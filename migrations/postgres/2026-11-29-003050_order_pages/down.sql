CREATE INDEX orders_flash_sale_id_idx ON orders (flash_sale_id);
DROP INDEX orders_flash_sale_id_created_at_idx;
