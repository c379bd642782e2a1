-- From the earliest start to the latest end that a sale ever had. An attempt whose time is outside of it was let in by no gate, and
-- is rejected. The window of now would not do: a shopper who was let in before the sale was shortened gets an order all the
-- same. Of sales that are there already it is not known, and every time is taken.
ALTER TABLE flash_sales ADD COLUMN admitted_from TIMESTAMPTZ, ADD COLUMN admitted_until TIMESTAMPTZ;

CREATE FUNCTION flash_sales_note_admission() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.admitted_from := NEW.start_time;
        NEW.admitted_until := NEW.end_time;
    ELSIF OLD.admitted_from IS NOT NULL THEN
        NEW.admitted_from := least(OLD.admitted_from, NEW.start_time);
        NEW.admitted_until := greatest(OLD.admitted_until, NEW.end_time);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER flash_sales_write_notes_admission BEFORE INSERT OR UPDATE OF start_time, end_time ON flash_sales
    FOR EACH ROW EXECUTE FUNCTION flash_sales_note_admission();
