-- The version before does not know this type, and would deliver nothing after it.
UPDATE event_batches SET type = 'sale.terms_changed' WHERE type = 'sale.ended';
DROP TRIGGER flash_sales_update_notes_ended;
