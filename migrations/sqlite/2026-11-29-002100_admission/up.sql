-- From the earliest start to the latest end that a sale ever had. An attempt whose time is outside of it was let in by no gate, and
-- is rejected. The window of now would not do: a shopper who was let in before the sale was shortened gets an order all the
-- same. Of sales that are there already it is not known, and every time is taken.
ALTER TABLE flash_sales ADD COLUMN admitted_from INTEGER;
ALTER TABLE flash_sales ADD COLUMN admitted_until INTEGER;

CREATE TRIGGER flash_sales_insert_notes_admission AFTER INSERT ON flash_sales
BEGIN
    UPDATE flash_sales SET admitted_from = NEW.start_time, admitted_until = NEW.end_time WHERE id = NEW.id;
END;

-- What is not known stays so: the least and the greatest of anything and NULL is NULL.
CREATE TRIGGER flash_sales_update_notes_admission AFTER UPDATE OF start_time, end_time ON flash_sales
BEGIN
    UPDATE flash_sales
    SET admitted_from = min(OLD.admitted_from, NEW.start_time), admitted_until = max(OLD.admitted_until, NEW.end_time)
    WHERE id = NEW.id;
END;
