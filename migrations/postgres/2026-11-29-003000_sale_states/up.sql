-- The table is small and locked for milliseconds, in the order in which settling takes its locks.
LOCK TABLE flash_sales IN ACCESS EXCLUSIVE MODE;

-- DRAFT: seen by operators alone. CANCELLED: for good. Sales that are there, and those inserted without a state, are LIVE. Whether a
-- LIVE sale is scheduled, open or ended follows from its window.
ALTER TABLE flash_sales
    ADD COLUMN state TEXT NOT NULL DEFAULT 'LIVE'
        CONSTRAINT flash_sales_state_check CHECK (state IN ('DRAFT', 'LIVE', 'CANCELLED')),
    -- Since when it has been paused.
    ADD COLUMN paused_at TIMESTAMPTZ,
    -- For operators.
    ADD COLUMN note TEXT NOT NULL DEFAULT '' CONSTRAINT flash_sales_note_check CHECK (char_length(note) <= 2000),
    -- Two LIVE sales of a product never overlap; drafts and cancelled sales may lie anywhere.
    DROP CONSTRAINT flash_sales_no_overlap,
    ADD CONSTRAINT flash_sales_no_overlap
        EXCLUDE USING gist (product_id WITH =, tstzrange(start_time, end_time) WITH &&) WHERE (state = 'LIVE');

-- The index of the constraint does not have every sale any more: this one finds the sales of a product.
CREATE INDEX flash_sales_product_id_idx ON flash_sales (product_id, id);

-- API nodes and workers do not list drafts: a LIVE sale that became one would go on in the gate, with nobody to say when it ends.
CREATE FUNCTION flash_sales_keep_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'sale % is %, and cannot become %', OLD.id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', TABLE = 'flash_sales', CONSTRAINT = 'flash_sales_keep_state';
END $$;

CREATE TRIGGER flash_sales_update_keeps_state BEFORE UPDATE OF state ON flash_sales
    FOR EACH ROW WHEN (OLD.state <> NEW.state AND OLD.state <> 'DRAFT' AND NOT (OLD.state = 'LIVE' AND NEW.state = 'CANCELLED'))
    EXECUTE FUNCTION flash_sales_keep_state();

-- Nobody is let in to a draft: its admission window is empty until it becomes LIVE, and stays so if it is cancelled before. A
-- cancelled sale with an empty one was never seen by shoppers, and is not listed. Sales that are there have been LIVE.
CREATE OR REPLACE FUNCTION flash_sales_note_admission() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state = 'DRAFT' THEN
            NEW.admitted_from := '9999-01-01 00:00:00+00';
            NEW.admitted_until := '1970-01-01 00:00:00+00';
        ELSE
            NEW.admitted_from := NEW.start_time;
            NEW.admitted_until := NEW.end_time;
        END IF;
    -- What is not known stays so, and what is empty until the sale becomes LIVE.
    ELSIF OLD.admitted_from <= OLD.admitted_until THEN
        NEW.admitted_from := least(OLD.admitted_from, NEW.start_time);
        NEW.admitted_until := greatest(OLD.admitted_until, NEW.end_time);
    ELSIF OLD.admitted_from > OLD.admitted_until AND NEW.state = 'LIVE' THEN
        NEW.admitted_from := NEW.start_time;
        NEW.admitted_until := NEW.end_time;
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER flash_sales_write_notes_admission ON flash_sales;
CREATE TRIGGER flash_sales_write_notes_admission BEFORE INSERT OR UPDATE OF start_time, end_time, state ON flash_sales
    FOR EACH ROW EXECUTE FUNCTION flash_sales_note_admission();

-- Counting the orders of a sale is dear, and it is locked meanwhile. Where both numbers change alike, as when units are added or
-- withdrawn, what was true before is true after it. Depth 0: not from within the triggers on orders.
DROP TRIGGER flash_sales_update_stock_is_true ON flash_sales;
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN (pg_trigger_depth() = 0
        AND (OLD.id <> NEW.id
            OR NEW.initial_stock - OLD.initial_stock <> NEW.remaining_stock - OLD.remaining_stock))
    EXECUTE FUNCTION flash_sales_stock_is_true();

-- State and pause are terms: changing them raises the version, also by a statement written by hand. So does changing the note: an
-- operator who saw another one is told.
DROP TRIGGER flash_sales_update_changes_terms ON flash_sales;
CREATE TRIGGER flash_sales_update_changes_terms BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN ((OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock, OLD.state, OLD.paused_at, OLD.note, OLD.version)
        IS DISTINCT FROM
        (NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock, NEW.state, NEW.paused_at, NEW.note, NEW.version))
    EXECUTE FUNCTION flash_sales_change_terms();
