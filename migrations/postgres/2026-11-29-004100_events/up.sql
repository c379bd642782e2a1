-- In the order in which settling takes them.
LOCK TABLE flash_sales, orders IN ACCESS EXCLUSIVE MODE;

-- The number of the sale's last event. Each order that stands or ends and each change of a sale that shoppers see takes the next
-- number in its own transaction, which holds the sale's row: numbers are in commit order and have no gaps. They are also
-- taken while no events are recorded, so that a consumer that begins later sees that it missed some.
ALTER TABLE flash_sales ADD COLUMN event_seq BIGINT NOT NULL DEFAULT 0
    CONSTRAINT flash_sales_event_seq_check CHECK (event_seq >= 0);

-- One row: events are recorded. None: nobody consumes them.
CREATE TABLE event_recording (
    id    BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT event_recording_id_check CHECK (id),
    since TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Events of one sale and type with consecutive numbers: all orders of one statement, or one change of the sale.
CREATE TABLE event_batches (
    flash_sale_id BIGINT NOT NULL,
    -- The number of the last event; that of the first is last_seq - event_count + 1.
    last_seq      BIGINT NOT NULL,
    event_count   INTEGER NOT NULL CONSTRAINT event_batches_event_count_check CHECK (event_count > 0),
    type          TEXT NOT NULL,
    product_id    BIGINT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- An order of this batch may have had an event of this type before: its number is part of the event's id.
    is_repeated   BOOLEAN NOT NULL DEFAULT false,
    -- Of orders: three columns of the same length.
    order_ids     UUID[],
    attempt_ids   UUID[],
    user_ids      BIGINT[],
    -- Of a change: the sale after it.
    terms         JSONB,
    PRIMARY KEY (flash_sale_id, last_seq),
    CONSTRAINT event_batches_content_check CHECK (CASE
        WHEN terms IS NULL THEN cardinality(order_ids) = event_count AND cardinality(attempt_ids) = event_count
            AND cardinality(user_ids) = event_count
        ELSE event_count = 1 AND order_ids IS NULL AND attempt_ids IS NULL AND user_ids IS NULL END)
);
-- Random ids do not get smaller by compressing them.
ALTER TABLE event_batches
    ALTER COLUMN order_ids SET STORAGE EXTERNAL,
    ALTER COLUMN attempt_ids SET STORAGE EXTERNAL,
    ALTER COLUMN user_ids SET STORAGE EXTERNAL;

-- The last event of each sale that a consumer got. A sale without a row: none.
CREATE TABLE event_positions (
    consumer      TEXT NOT NULL,
    flash_sale_id BIGINT NOT NULL,
    last_seq      BIGINT NOT NULL CONSTRAINT event_positions_last_seq_check CHECK (last_seq >= 0),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, flash_sale_id)
)
-- Rows here change with every page of events: room for their next versions on the same page.
WITH (fillfactor = 50);

-- Orders that a statement made: the units and the numbers in one update of the sale.
CREATE OR REPLACE FUNCTION orders_take_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM event_recording) THEN
        UPDATE flash_sales SET remaining_stock = remaining_stock - taken.units, event_seq = event_seq + taken.units,
            updated_at = now()
        FROM (SELECT flash_sale_id, count(*) AS units FROM new_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id) taken
        WHERE flash_sales.id = taken.flash_sale_id;
        RETURN NULL;
    END IF;
    WITH taken AS (
        SELECT flash_sale_id, count(*)::int AS units, array_agg(id) AS order_ids, array_agg(attempt_id) AS attempt_ids,
            array_agg(user_id) AS user_ids
        FROM new_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id
    ), changed AS (
        UPDATE flash_sales SET remaining_stock = remaining_stock - taken.units, event_seq = event_seq + taken.units,
            updated_at = now()
        FROM taken WHERE flash_sales.id = taken.flash_sale_id
        -- The last unit of a LIVE sale was sold: the event of that has the last number.
        RETURNING flash_sales.id, product_id, event_seq - (remaining_stock = 0 AND state = 'LIVE')::int AS last_seq
    )
    INSERT INTO event_batches
        (flash_sale_id, last_seq, event_count, type, product_id, order_ids, attempt_ids, user_ids)
    SELECT changed.id, last_seq, units, 'order.created', product_id, order_ids, attempt_ids, user_ids
    FROM changed JOIN taken ON taken.flash_sale_id = changed.id;
    RETURN NULL;
END $$;

-- Orders of a sale that ended, or that were set back to SUCCESS by hand.
CREATE FUNCTION flash_sales_note_orders(
    the_type TEXT, sale BIGINT, repeated BOOLEAN, the_orders UUID[], the_attempts UUID[], the_users BIGINT[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    noted RECORD;
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + cardinality(the_orders) WHERE id = sale
    RETURNING event_seq, product_id INTO noted;
    IF FOUND AND EXISTS (SELECT FROM event_recording) THEN
        INSERT INTO event_batches
            (flash_sale_id, last_seq, event_count, type, product_id, is_repeated, order_ids, attempt_ids, user_ids)
        VALUES (sale, noted.event_seq, cardinality(the_orders), the_type, noted.product_id, repeated, the_orders, the_attempts,
            the_users);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION orders_give_back_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Before the units, which may make the sale restocked.
    PERFORM flash_sales_note_orders('order.released', ended.flash_sale_id, repeated, order_ids, attempt_ids, user_ids)
    FROM (
        SELECT o.flash_sale_id, bool_or(r.attempt_id IS NOT NULL) AS repeated, array_agg(o.id) AS order_ids,
            array_agg(o.attempt_id) AS attempt_ids, array_agg(o.user_id) AS user_ids
        FROM old_orders o LEFT JOIN released_orders r USING (attempt_id, flash_sale_id)
        WHERE o.status = 'SUCCESS' GROUP BY o.flash_sale_id
    ) ended;
    UPDATE flash_sales SET remaining_stock = remaining_stock + given.units, updated_at = now()
    FROM (SELECT flash_sale_id, count(*) AS units FROM old_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id) given
    WHERE flash_sales.id = given.flash_sale_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION orders_move_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flash_sales_note_orders('order.released', ended.flash_sale_id, repeated, order_ids, attempt_ids, user_ids)
    FROM (
        SELECT o.flash_sale_id, bool_or(r.attempt_id IS NOT NULL) AS repeated, array_agg(o.id) AS order_ids,
            array_agg(o.attempt_id) AS attempt_ids, array_agg(o.user_id) AS user_ids
        FROM (
            SELECT id, attempt_id, flash_sale_id, user_id FROM old_orders WHERE status = 'SUCCESS'
            EXCEPT
            SELECT id, attempt_id, flash_sale_id, user_id FROM new_orders WHERE status = 'SUCCESS'
        ) o LEFT JOIN released_orders r USING (attempt_id, flash_sale_id)
        GROUP BY o.flash_sale_id
    ) ended;
    PERFORM flash_sales_note_orders('order.created', made.flash_sale_id, true, order_ids, attempt_ids, user_ids)
    FROM (
        SELECT o.flash_sale_id, array_agg(o.id) AS order_ids, array_agg(o.attempt_id) AS attempt_ids,
            array_agg(o.user_id) AS user_ids
        FROM (
            SELECT id, attempt_id, flash_sale_id, user_id FROM new_orders WHERE status = 'SUCCESS'
            EXCEPT
            SELECT id, attempt_id, flash_sale_id, user_id FROM old_orders WHERE status = 'SUCCESS'
        ) o
        GROUP BY o.flash_sale_id
    ) made;
    UPDATE flash_sales SET remaining_stock = remaining_stock - moved.units, updated_at = now()
    FROM (
        SELECT flash_sale_id, sum(units) AS units FROM (
            SELECT flash_sale_id, 1 AS units FROM new_orders WHERE status = 'SUCCESS'
            UNION ALL
            SELECT flash_sale_id, -1 FROM old_orders WHERE status = 'SUCCESS'
        ) both_sides GROUP BY flash_sale_id HAVING sum(units) <> 0
    ) moved
    WHERE flash_sales.id = moved.flash_sale_id;
    RETURN NULL;
END $$;

-- After the trigger above, which looks whether an order has ended before (PostgreSQL fires triggers by name).
ALTER TRIGGER orders_update_is_noted ON orders RENAME TO orders_update_notes_ended;

CREATE FUNCTION flash_sales_note_event(the_type TEXT, sale flash_sales) RETURNS void LANGUAGE sql AS $$
    INSERT INTO event_batches (flash_sale_id, last_seq, event_count, type, product_id, terms)
    SELECT sale.id, sale.event_seq, 1, the_type, sale.product_id, jsonb_build_object(
        'state', sale.state,
        'paused_at', floor(extract(epoch FROM sale.paused_at) * 1000)::bigint,
        'start_time', floor(extract(epoch FROM sale.start_time) * 1000)::bigint,
        'end_time', floor(extract(epoch FROM sale.end_time) * 1000)::bigint,
        'initial_stock', sale.initial_stock,
        'remaining_stock', sale.remaining_stock,
        'version', sale.version)
    WHERE EXISTS (SELECT FROM event_recording)
$$;

-- What became of a sale. Drafts are seen by operators alone: their events begin when they become LIVE. The trigger is the last one
-- before the row is written (PostgreSQL fires triggers by name), so that it sees what the others have changed.
CREATE FUNCTION flash_sales_write_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    types TEXT[] := '{}';
    the_type TEXT;
BEGIN
    IF OLD.state = 'DRAFT' THEN
        IF NEW.state = 'LIVE' THEN
            types := ARRAY['sale.published'];
        END IF;
    ELSE
        IF (OLD.product_id, OLD.start_time, OLD.end_time) IS DISTINCT FROM (NEW.product_id, NEW.start_time, NEW.end_time) THEN
            types := types || 'sale.terms_changed'::text;
        END IF;
        IF NEW.initial_stock <> OLD.initial_stock THEN
            types := types || 'sale.stock_changed'::text;
        END IF;
        IF NEW.state = 'CANCELLED' AND OLD.state <> 'CANCELLED' THEN
            types := types || 'sale.cancelled'::text;
        ELSIF NEW.state = 'LIVE' THEN
            IF (OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL) THEN
                types := types || CASE WHEN NEW.paused_at IS NULL THEN 'sale.resumed' ELSE 'sale.paused' END;
            END IF;
            IF (OLD.remaining_stock = 0) <> (NEW.remaining_stock = 0) THEN
                types := types || CASE WHEN NEW.remaining_stock = 0 THEN 'sale.sold_out' ELSE 'sale.restocked' END;
            END IF;
        END IF;
    END IF;
    FOREACH the_type IN ARRAY types LOOP
        NEW.event_seq := NEW.event_seq + 1;
        PERFORM flash_sales_note_event(the_type, NEW);
    END LOOP;
    RETURN NEW;
END $$;

CREATE TRIGGER flash_sales_writes_events BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN ((OLD.state, OLD.paused_at, OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock, OLD.remaining_stock = 0)
        IS DISTINCT FROM
        (NEW.state, NEW.paused_at, NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock, NEW.remaining_stock = 0))
    EXECUTE FUNCTION flash_sales_write_events();

-- A sale that is inserted as LIVE. The number is taken before the row is written, and the event noted after it: an insert that does
-- nothing because of a conflict notes none.
CREATE FUNCTION flash_sales_begin_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.event_seq := CASE WHEN NEW.state = 'LIVE' THEN 1 ELSE 0 END;
    RETURN NEW;
END $$;

CREATE FUNCTION flash_sales_note_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flash_sales_note_event('sale.published', NEW);
    RETURN NULL;
END $$;

CREATE TRIGGER flash_sales_insert_begins_events BEFORE INSERT ON flash_sales
    FOR EACH ROW EXECUTE FUNCTION flash_sales_begin_events();
CREATE TRIGGER flash_sales_insert_notes_event AFTER INSERT ON flash_sales
    FOR EACH ROW WHEN (NEW.state = 'LIVE') EXECUTE FUNCTION flash_sales_note_inserted();
