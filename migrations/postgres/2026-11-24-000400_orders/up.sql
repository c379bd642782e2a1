CREATE TYPE order_status AS ENUM ('PENDING', 'SUCCESS', 'FAILED');

CREATE TABLE orders (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       BIGINT NOT NULL CONSTRAINT orders_user_id_fkey REFERENCES users (id),
    product_id    BIGINT NOT NULL,
    flash_sale_id BIGINT NOT NULL,
    status        order_status NOT NULL DEFAULT 'PENDING',
    -- The logged attempt it was made for.
    attempt_id    UUID NOT NULL CONSTRAINT orders_attempt_id_key UNIQUE,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT orders_flash_sale_fkey FOREIGN KEY (flash_sale_id, product_id) REFERENCES flash_sales (id, product_id),
    -- One item a shopper.
    CONSTRAINT orders_flash_sale_id_user_id_key UNIQUE (flash_sale_id, user_id)
);

-- For the foreign key: without it, deleting one account reads every order.
CREATE INDEX orders_user_id_idx ON orders (user_id);

-- For every sale and every writer: remaining_stock = initial_stock - number of SUCCESS orders.
--
-- Orders take and give back units by these triggers and by nothing else, so that a statement written by hand is bound
-- like the service: the check on remaining_stock refuses the unit too many and with it the order. One update a
-- statement and sale, not one an order. It locks the sale's row, so writers of one sale queue up here.
CREATE FUNCTION orders_take_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock - taken.units, updated_at = now()
    FROM (SELECT flash_sale_id, count(*) AS units FROM new_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id) taken
    WHERE flash_sales.id = taken.flash_sale_id;
    RETURN NULL;
END $$;

CREATE FUNCTION orders_give_back_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + given.units, updated_at = now()
    FROM (SELECT flash_sale_id, count(*) AS units FROM old_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id) given
    WHERE flash_sales.id = given.flash_sale_id;
    RETURN NULL;
END $$;

CREATE FUNCTION orders_move_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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

CREATE FUNCTION orders_give_back_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flash_sales SET remaining_stock = initial_stock, updated_at = now() WHERE remaining_stock <> initial_stock;
    RETURN NULL;
END $$;

CREATE TRIGGER orders_insert_takes_units AFTER INSERT ON orders REFERENCING NEW TABLE AS new_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_take_units();
CREATE TRIGGER orders_delete_gives_back_units AFTER DELETE ON orders REFERENCING OLD TABLE AS old_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_give_back_units();
CREATE TRIGGER orders_update_moves_units AFTER UPDATE ON orders
    REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_move_units();
CREATE TRIGGER orders_truncate_gives_back_units AFTER TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_give_back_all();

-- Stock set by hand must tell the truth; to add ten units, add ten to both columns. Counting is dear, but whoever writes
-- stock directly does it rarely. The row is locked by now, so no order can slip in between.
CREATE FUNCTION flash_sales_stock_is_true() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.remaining_stock <> NEW.initial_stock
        - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
    THEN
        RAISE EXCEPTION 'remaining_stock of sale % must be initial_stock less its SUCCESS orders', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'flash_sales', CONSTRAINT = 'flash_sales_stock_is_true';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER flash_sales_insert_stock_is_true BEFORE INSERT ON flash_sales
    FOR EACH ROW EXECUTE FUNCTION flash_sales_stock_is_true();
-- Depth 0: not from within the triggers on orders.
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN (pg_trigger_depth() = 0
        AND (OLD.id, OLD.initial_stock, OLD.remaining_stock)
            IS DISTINCT FROM (NEW.id, NEW.initial_stock, NEW.remaining_stock))
    EXECUTE FUNCTION flash_sales_stock_is_true();
