-- The number of the sale's last event. Each order that stands or ends and each change of a sale that shoppers see takes the next
-- number in its own transaction: numbers are in commit order and have no gaps. They are also taken while no events are
-- recorded, so that a consumer that begins later sees that it missed some.
ALTER TABLE flash_sales ADD COLUMN event_seq INTEGER NOT NULL DEFAULT 0
    CONSTRAINT flash_sales_event_seq_check CHECK (event_seq >= 0);

-- One row: events are recorded. None: nobody consumes them.
CREATE TABLE event_recording (
    id    INTEGER PRIMARY KEY DEFAULT 1 CONSTRAINT event_recording_id_check CHECK (id = 1),
    since INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

-- Events. Those of an order have its attempt and shopper; those of a change have the sale after it.
CREATE TABLE event_batches (
    flash_sale_id INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL,
    type          TEXT NOT NULL,
    product_id    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    -- The order may have had an event of this type before: its number is part of the event's id.
    is_repeated   INTEGER NOT NULL DEFAULT 0,
    attempt_id    BLOB,
    user_id       INTEGER,
    terms         TEXT,
    PRIMARY KEY (flash_sale_id, last_seq),
    CONSTRAINT event_batches_content_check
        CHECK ((terms IS NULL) = (attempt_id IS NOT NULL) AND (attempt_id IS NULL) = (user_id IS NULL))
) STRICT, WITHOUT ROWID;

-- The last event of each sale that a consumer got. A sale without a row: none.
CREATE TABLE event_positions (
    consumer      TEXT NOT NULL,
    flash_sale_id INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL CONSTRAINT event_positions_last_seq_check CHECK (last_seq >= 0),
    PRIMARY KEY (consumer, flash_sale_id)
) STRICT, WITHOUT ROWID;

-- The event first: the unit may be the last one, and the event of that comes after it.
DROP TRIGGER orders_insert_takes_unit;
CREATE TRIGGER orders_insert_takes_unit AFTER INSERT ON orders WHEN NEW.status = 'SUCCESS'
BEGIN
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, attempt_id, user_id)
    SELECT s.id, s.event_seq + 1, 'order.created', NEW.product_id, NEW.attempt_id, NEW.user_id
    FROM event_recording, flash_sales s WHERE s.id = NEW.flash_sale_id;
    UPDATE flash_sales SET remaining_stock = remaining_stock - 1, moves = moves + 1, event_seq = event_seq + 1
    WHERE id = NEW.flash_sale_id;
END;

DROP TRIGGER orders_delete_gives_back_unit;
CREATE TRIGGER orders_delete_gives_back_unit AFTER DELETE ON orders WHEN OLD.status = 'SUCCESS'
BEGIN
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, is_repeated, attempt_id, user_id)
    SELECT s.id, s.event_seq + 1, 'order.released', OLD.product_id,
        EXISTS (SELECT 1 FROM released_orders WHERE attempt_id = OLD.attempt_id AND flash_sale_id = OLD.flash_sale_id),
        OLD.attempt_id, OLD.user_id
    FROM event_recording, flash_sales s WHERE s.id = OLD.flash_sale_id;
    INSERT OR REPLACE INTO released_orders (attempt_id, flash_sale_id, user_id)
    VALUES (OLD.attempt_id, OLD.flash_sale_id, OLD.user_id);
    UPDATE flash_sales SET remaining_stock = remaining_stock + 1, moves = moves + 1, event_seq = event_seq + 1
    WHERE id = OLD.flash_sale_id;
END;

-- Both kinds of triggers wrote about the same rows, and SQLite promises no order among triggers: the note of the ended order is
-- written above and below.
DROP TRIGGER orders_delete_is_noted;
DROP TRIGGER orders_update_is_noted;
DROP TRIGGER orders_update_moves_unit;
CREATE TRIGGER orders_update_moves_unit AFTER UPDATE OF status, flash_sale_id, user_id, attempt_id ON orders
WHEN (OLD.status, OLD.attempt_id, OLD.flash_sale_id, OLD.user_id)
    IS NOT (NEW.status, NEW.attempt_id, NEW.flash_sale_id, NEW.user_id)
BEGIN
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, is_repeated, attempt_id, user_id)
    SELECT s.id, s.event_seq + 1, 'order.released', OLD.product_id,
        EXISTS (SELECT 1 FROM released_orders WHERE attempt_id = OLD.attempt_id AND flash_sale_id = OLD.flash_sale_id),
        OLD.attempt_id, OLD.user_id
    FROM event_recording, flash_sales s WHERE s.id = OLD.flash_sale_id AND OLD.status = 'SUCCESS';
    INSERT OR REPLACE INTO released_orders (attempt_id, flash_sale_id, user_id)
    SELECT OLD.attempt_id, OLD.flash_sale_id, OLD.user_id WHERE OLD.status = 'SUCCESS';
    UPDATE flash_sales SET remaining_stock = remaining_stock + 1, moves = moves + 1, event_seq = event_seq + 1
    WHERE id = OLD.flash_sale_id AND OLD.status = 'SUCCESS';
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, is_repeated, attempt_id, user_id)
    SELECT s.id, s.event_seq + 1, 'order.created', NEW.product_id, 1, NEW.attempt_id, NEW.user_id
    FROM event_recording, flash_sales s WHERE s.id = NEW.flash_sale_id AND NEW.status = 'SUCCESS';
    UPDATE flash_sales SET remaining_stock = remaining_stock - 1, moves = moves + 1, event_seq = event_seq + 1
    WHERE id = NEW.flash_sale_id AND NEW.status = 'SUCCESS';
END;

-- What became of a sale. Drafts are seen by operators alone: their events begin when they become LIVE. Other triggers raise the
-- version and let remaining_stock follow, before or after this one: the terms say what both will be.
CREATE TRIGGER flash_sales_insert_notes_event AFTER INSERT ON flash_sales WHEN NEW.state = 'LIVE'
BEGIN
    UPDATE flash_sales SET event_seq = 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, 1, 'sale.published', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', NEW.version)
    FROM event_recording;
END;

CREATE TRIGGER flash_sales_update_notes_published AFTER UPDATE OF state ON flash_sales
WHEN OLD.state = 'DRAFT' AND NEW.state = 'LIVE'
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.published', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_terms AFTER UPDATE OF product_id, start_time, end_time ON flash_sales
WHEN OLD.state <> 'DRAFT'
    AND (OLD.product_id, OLD.start_time, OLD.end_time) IS NOT (NEW.product_id, NEW.start_time, NEW.end_time)
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.terms_changed', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_stock AFTER UPDATE OF initial_stock ON flash_sales
WHEN OLD.state <> 'DRAFT' AND OLD.initial_stock <> NEW.initial_stock
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.stock_changed', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', iif(NEW.initial_stock > OLD.initial_stock AND NEW.remaining_stock = OLD.remaining_stock,
            OLD.remaining_stock + NEW.initial_stock - OLD.initial_stock, NEW.remaining_stock), 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_cancelled AFTER UPDATE OF state ON flash_sales
WHEN OLD.state = 'LIVE' AND NEW.state = 'CANCELLED'
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.cancelled', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_paused AFTER UPDATE OF paused_at ON flash_sales
WHEN OLD.state = 'LIVE' AND NEW.state = 'LIVE' AND OLD.paused_at IS NULL AND NEW.paused_at IS NOT NULL
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.paused', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_resumed AFTER UPDATE OF paused_at ON flash_sales
WHEN OLD.state = 'LIVE' AND NEW.state = 'LIVE' AND OLD.paused_at IS NOT NULL AND NEW.paused_at IS NULL
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.resumed', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_sold_out AFTER UPDATE OF remaining_stock ON flash_sales
WHEN OLD.state = 'LIVE' AND NEW.state = 'LIVE' AND OLD.remaining_stock > 0 AND NEW.remaining_stock = 0
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.sold_out', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', s.version)
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_notes_restocked AFTER UPDATE OF remaining_stock ON flash_sales
WHEN OLD.state = 'LIVE' AND NEW.state = 'LIVE' AND OLD.remaining_stock = 0 AND NEW.remaining_stock > 0
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.restocked', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', s.version)
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;
