ALTER TABLE flash_sales DROP COLUMN attempts_removed_until;
