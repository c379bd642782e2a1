-- DRAFT: seen by operators alone. CANCELLED: for good. Sales that are there, and those inserted without a state, are LIVE. Whether a
-- LIVE sale is scheduled, open or ended follows from its window.
ALTER TABLE flash_sales ADD COLUMN state TEXT NOT NULL DEFAULT 'LIVE'
    CONSTRAINT flash_sales_state_check CHECK (state IN ('DRAFT', 'LIVE', 'CANCELLED'));
-- Since when it has been paused.
ALTER TABLE flash_sales ADD COLUMN paused_at INTEGER;
-- For operators.
ALTER TABLE flash_sales ADD COLUMN note TEXT NOT NULL DEFAULT '' CONSTRAINT flash_sales_note_check CHECK (length(note) <= 2000);
-- When it got its version; none: when it was made.
ALTER TABLE flash_sales ADD COLUMN updated_at INTEGER;

-- Two LIVE sales of a product never overlap; drafts and cancelled sales may lie anywhere.
DROP TRIGGER flash_sales_insert_no_overlap;
CREATE TRIGGER flash_sales_insert_no_overlap BEFORE INSERT ON flash_sales
WHEN NEW.state = 'LIVE' AND EXISTS (SELECT 1 FROM flash_sales s
    WHERE s.state = 'LIVE' AND s.product_id = NEW.product_id AND s.start_time < NEW.end_time AND s.end_time > NEW.start_time)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_no_overlap: another sale of the product overlaps');
END;

DROP TRIGGER flash_sales_update_no_overlap;
CREATE TRIGGER flash_sales_update_no_overlap BEFORE UPDATE OF product_id, start_time, end_time, state ON flash_sales
WHEN NEW.state = 'LIVE' AND EXISTS (SELECT 1 FROM flash_sales s
    WHERE s.id <> OLD.id AND s.state = 'LIVE' AND s.product_id = NEW.product_id
        AND s.start_time < NEW.end_time AND s.end_time > NEW.start_time)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_no_overlap: another sale of the product overlaps');
END;

-- Drafts are not listed: a LIVE sale that became one would go on in the gate, with nobody to say when it ends.
CREATE TRIGGER flash_sales_update_keeps_state BEFORE UPDATE OF state ON flash_sales
WHEN OLD.state <> NEW.state AND OLD.state <> 'DRAFT' AND NOT (OLD.state = 'LIVE' AND NEW.state = 'CANCELLED')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_keep_state: a sale that is LIVE can become CANCELLED and nothing else');
END;

-- Nobody is let in to a draft: its admission window is empty until it becomes LIVE, and stays so if it is cancelled before. A
-- cancelled sale with an empty one was never seen by shoppers, and is not listed. Sales that are there have been LIVE.
DROP TRIGGER flash_sales_insert_notes_admission;
CREATE TRIGGER flash_sales_insert_notes_admission AFTER INSERT ON flash_sales
BEGIN
    UPDATE flash_sales
    SET admitted_from = iif(NEW.state = 'DRAFT', 253370764800000, NEW.start_time),
        admitted_until = iif(NEW.state = 'DRAFT', 0, NEW.end_time)
    WHERE id = NEW.id;
END;

-- What is not known stays so, and what is empty until the sale becomes LIVE.
DROP TRIGGER flash_sales_update_notes_admission;
CREATE TRIGGER flash_sales_update_notes_admission AFTER UPDATE OF start_time, end_time, state ON flash_sales
WHEN OLD.admitted_from <= OLD.admitted_until OR (OLD.admitted_from > OLD.admitted_until AND NEW.state = 'LIVE')
BEGIN
    UPDATE flash_sales
    SET admitted_from =
            iif(OLD.admitted_from > OLD.admitted_until, NEW.start_time, min(OLD.admitted_from, NEW.start_time)),
        admitted_until =
            iif(OLD.admitted_from > OLD.admitted_until, NEW.end_time, max(OLD.admitted_until, NEW.end_time))
    WHERE id = NEW.id;
END;

-- Counting the orders of a sale is dear. Where both numbers change alike, as when units are added or withdrawn, what was true before
-- is true after it.
DROP TRIGGER flash_sales_update_stock_is_true;
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE OF id, initial_stock, remaining_stock ON flash_sales
WHEN NEW.moves = OLD.moves
    AND NOT (NEW.id = OLD.id AND NEW.initial_stock > OLD.initial_stock AND NEW.remaining_stock = OLD.remaining_stock)
    AND NOT (NEW.id = OLD.id AND NEW.initial_stock - OLD.initial_stock = NEW.remaining_stock - OLD.remaining_stock)
    AND NEW.remaining_stock <> NEW.initial_stock
        - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_stock_is_true: remaining_stock must be initial_stock less the SUCCESS orders');
END;

-- State and pause are terms: changing them raises the version, also by a statement written by hand. So does changing the note: an
-- operator who saw another one is told.
DROP TRIGGER flash_sales_update_changes_terms;
CREATE TRIGGER flash_sales_update_changes_terms
AFTER UPDATE OF product_id, start_time, end_time, initial_stock, state, paused_at, note ON flash_sales
WHEN NEW.version <= OLD.version
    AND (OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock, OLD.state, OLD.paused_at, OLD.note)
        IS NOT (NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock, NEW.state, NEW.paused_at, NEW.note)
BEGIN
    UPDATE flash_sales SET version = OLD.version + 1 WHERE id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_time AFTER UPDATE OF version ON flash_sales
WHEN OLD.version <> NEW.version
BEGIN
    UPDATE flash_sales SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) WHERE id = NEW.id;
END;
