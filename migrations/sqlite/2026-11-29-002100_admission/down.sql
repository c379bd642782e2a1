DROP TRIGGER flash_sales_update_notes_admission;
DROP TRIGGER flash_sales_insert_notes_admission;
ALTER TABLE flash_sales DROP COLUMN admitted_until;
ALTER TABLE flash_sales DROP COLUMN admitted_from;
