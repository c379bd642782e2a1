-- The orders of a sale, page by page in the order of their time: a page reads its own rows, and those of one transaction of settling.
CREATE INDEX orders_flash_sale_id_created_at_idx ON orders (flash_sale_id, created_at);
