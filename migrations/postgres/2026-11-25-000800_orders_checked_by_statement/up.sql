-- What orders refer to is checked once a statement. A foreign key asks one query for every order, and locks a row of users
-- for it: with the index of those keys that was two fifths of what an order cost.
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
-- Writing orders locks nothing of these. Whoever takes one of them away waits instead until all who write orders are
-- through, and then looks for orders; whoever writes orders after that finds it gone. Both have to see what the other has
-- committed meanwhile, which READ COMMITTED does.
CREATE FUNCTION orders_need_read_committed() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'orders and what they name are changed in READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state', TABLE = 'orders';
    END IF;
END $$;

CREATE FUNCTION orders_name_what_exists() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    nobody BIGINT;
    no_sale RECORD;
BEGIN
    PERFORM orders_need_read_committed();
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

-- Its argument is the column of orders that names the rows of the trigger's table.
CREATE FUNCTION orders_keep_what_they_name() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_named BOOLEAN;
BEGIN
    PERFORM orders_need_read_committed();
    LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE;
    IF TG_OP = 'TRUNCATE' THEN
        is_named := EXISTS (SELECT FROM orders);
    ELSE
        EXECUTE format('SELECT EXISTS (SELECT FROM orders WHERE %I = $1)', TG_ARGV[0]) INTO is_named USING OLD.id;
    END IF;
    IF is_named THEN
        RAISE EXCEPTION '% has rows that orders name', TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, HINT = 'Delete the orders first.';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER users_delete_keeps_named AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION orders_keep_what_they_name('user_id');
CREATE TRIGGER users_update_keeps_named AFTER UPDATE OF id ON users
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION orders_keep_what_they_name('user_id');
CREATE TRIGGER users_truncate_keeps_named AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION orders_keep_what_they_name('user_id');
CREATE TRIGGER flash_sales_delete_keeps_named AFTER DELETE ON flash_sales
    FOR EACH ROW EXECUTE FUNCTION orders_keep_what_they_name('flash_sale_id');
CREATE TRIGGER flash_sales_update_keeps_named AFTER UPDATE OF id, product_id ON flash_sales
    FOR EACH ROW WHEN ((OLD.id, OLD.product_id) IS DISTINCT FROM (NEW.id, NEW.product_id))
    EXECUTE FUNCTION orders_keep_what_they_name('flash_sale_id');
CREATE TRIGGER flash_sales_truncate_keeps_named AFTER TRUNCATE ON flash_sales
    FOR EACH STATEMENT EXECUTE FUNCTION orders_keep_what_they_name('flash_sale_id');
