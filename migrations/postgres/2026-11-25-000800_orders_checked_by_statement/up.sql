-- In the order in which settling takes them.
LOCK TABLE flash_sales, users, orders IN ACCESS EXCLUSIVE MODE;

-- What orders refer to is checked once a statement. A foreign key asks one query for every order, and locks a row of users
-- for it (docs/PERFORMANCE.md).
ALTER TABLE orders
    DROP CONSTRAINT orders_user_id_fkey,
    DROP CONSTRAINT orders_flash_sale_fkey,
    DROP CONSTRAINT orders_flash_sale_id_user_id_key,
    -- One item a shopper. The account comes first, so that the index finds the orders of an account, too.
    ADD CONSTRAINT orders_user_id_flash_sale_id_key UNIQUE (user_id, flash_sale_id);
DROP INDEX orders_user_id_idx;
-- The orders of a sale. It grows at one end, whoever the shoppers are.
CREATE INDEX orders_flash_sale_id_idx ON orders (flash_sale_id);
-- It was there to be referred to.
ALTER TABLE flash_sales DROP CONSTRAINT flash_sales_id_product_id_key;

-- Every order names a user that exists, and a sale with the product that it is of.
--
-- Who writes orders looks whether these exist, and shares a lock with all who do until the end of the transaction. Who took
-- one away waits at the end of the transaction until nobody has that lock, then looks whether an order names it, and holds
-- it alone for the rest, a commit. Whoever comes after that finds it gone. Both have to see what the other has committed
-- meanwhile, which READ COMMITTED does.
CREATE FUNCTION orders_lock(alone BOOLEAN) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'orders and what they name are changed in READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state', TABLE = 'orders';
    END IF;
    IF alone THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('flashsale orders', 0));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('flashsale orders', 0));
    END IF;
END $$;

CREATE FUNCTION orders_name_what_exists() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    nobody BIGINT;
    no_sale RECORD;
BEGIN
    PERFORM orders_lock(alone => false);
    -- Each is looked up by itself: a join may be planned to read all users.
    SELECT user_id INTO nobody
    FROM new_orders LEFT JOIN LATERAL (SELECT id FROM users WHERE id = user_id LIMIT 1) u ON true
    WHERE u.id IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an order names user %, who does not exist', nobody
            USING ERRCODE = 'foreign_key_violation', TABLE = 'orders', COLUMN = 'user_id';
    END IF;
    SELECT flash_sale_id, product_id INTO no_sale
    FROM (SELECT DISTINCT flash_sale_id, product_id FROM new_orders) named
    WHERE NOT EXISTS (SELECT FROM flash_sales s WHERE s.id = flash_sale_id AND s.product_id = named.product_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an order names sale % of product %, which does not exist', no_sale.flash_sale_id, no_sale.product_id
            USING ERRCODE = 'foreign_key_violation', TABLE = 'orders', COLUMN = 'flash_sale_id';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER orders_insert_names_what_exists AFTER INSERT ON orders REFERENCING NEW TABLE AS new_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_name_what_exists();
CREATE TRIGGER orders_update_names_what_exists AFTER UPDATE ON orders REFERENCING NEW TABLE AS new_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_name_what_exists();

CREATE FUNCTION users_keep_their_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders_lock(alone => true);
    IF EXISTS (SELECT FROM orders WHERE user_id = OLD.id) AND NOT EXISTS (SELECT FROM users WHERE id = OLD.id) THEN
        RAISE EXCEPTION 'user % has orders', OLD.id USING ERRCODE = 'foreign_key_violation', TABLE = 'users';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION flash_sales_keep_their_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders_lock(alone => true);
    IF EXISTS (SELECT FROM orders WHERE flash_sale_id = OLD.id AND product_id = OLD.product_id)
        AND NOT EXISTS (SELECT FROM flash_sales WHERE id = OLD.id AND product_id = OLD.product_id)
    THEN
        RAISE EXCEPTION 'sale % of product % has orders', OLD.id, OLD.product_id
            USING ERRCODE = 'foreign_key_violation', TABLE = 'flash_sales';
    END IF;
    RETURN NULL;
END $$;

-- TRUNCATE lets nobody else read the table before.
CREATE FUNCTION orders_name_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders_lock(alone => true);
    IF EXISTS (SELECT FROM orders) THEN
        RAISE EXCEPTION 'there are orders that name rows of %', TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER users_delete_keeps_orders AFTER DELETE ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION users_keep_their_orders();
CREATE CONSTRAINT TRIGGER users_update_keeps_orders AFTER UPDATE OF id ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION users_keep_their_orders();
CREATE TRIGGER users_truncate_keeps_orders AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION orders_name_nothing();
CREATE CONSTRAINT TRIGGER flash_sales_delete_keeps_orders AFTER DELETE ON flash_sales DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION flash_sales_keep_their_orders();
CREATE CONSTRAINT TRIGGER flash_sales_update_keeps_orders AFTER UPDATE OF id, product_id ON flash_sales
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.id, OLD.product_id) IS DISTINCT FROM (NEW.id, NEW.product_id)) EXECUTE FUNCTION flash_sales_keep_their_orders();
CREATE TRIGGER flash_sales_truncate_keeps_orders AFTER TRUNCATE ON flash_sales
    FOR EACH STATEMENT EXECUTE FUNCTION orders_name_nothing();
