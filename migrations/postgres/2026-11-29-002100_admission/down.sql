DROP TRIGGER flash_sales_write_notes_admission ON flash_sales;
DROP FUNCTION flash_sales_note_admission();
ALTER TABLE flash_sales DROP COLUMN admitted_from, DROP COLUMN admitted_until;
