-- In the order in which settling takes them.
LOCK TABLE flash_sales, orders IN ACCESS EXCLUSIVE MODE;

-- The version of a sale's terms: product, window and initial_stock. Every change of them increases it, also one by a
-- statement written by hand; the workers apply to the gate the terms that are newer than its own. Settling changes
-- remaining_stock only, and no version.
ALTER TABLE flash_sales ADD COLUMN version BIGINT NOT NULL DEFAULT 1
    CONSTRAINT flash_sales_version_check CHECK (version >= 1);

-- Units for which no order stands follow initial_stock: to add ten units, add ten to initial_stock. A change of both
-- columns is checked by flash_sales_stock_is_true, which fires later (PostgreSQL fires triggers by name). Less than the SUCCESS
-- orders is refused by the check on remaining_stock.
CREATE FUNCTION flash_sales_change_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.initial_stock <> OLD.initial_stock AND NEW.remaining_stock = OLD.remaining_stock THEN
        NEW.remaining_stock := OLD.remaining_stock + (NEW.initial_stock - OLD.initial_stock);
    END IF;
    -- A version that was raised by hand counts; one that was lowered would be applied by nobody.
    NEW.version := greatest(NEW.version, OLD.version + 1);
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TRIGGER flash_sales_update_changes_terms BEFORE UPDATE ON flash_sales
    FOR EACH ROW
    WHEN ((OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock, OLD.version)
        IS DISTINCT FROM (NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock, NEW.version))
    EXECUTE FUNCTION flash_sales_change_terms();

-- Orders that ended: SUCCESS once, and deleted, or set to another status, sale, shopper or attempt. The row here comes
-- with the same transaction, also when it is done by hand; the workers take these orders out of the gate, and say so in applied_at.
CREATE TABLE released_orders (
    attempt_id    UUID NOT NULL,
    flash_sale_id BIGINT NOT NULL,
    user_id       BIGINT NOT NULL,
    released_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- When the gate confirmed that it has taken the order out.
    applied_at    TIMESTAMPTZ,
    PRIMARY KEY (attempt_id, flash_sale_id)
);
CREATE INDEX released_orders_to_apply_idx ON released_orders (flash_sale_id) WHERE applied_at IS NULL;

CREATE FUNCTION orders_note_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_orders (attempt_id, flash_sale_id, user_id)
    SELECT attempt_id, flash_sale_id, user_id FROM old_orders WHERE status = 'SUCCESS'
    ON CONFLICT (attempt_id, flash_sale_id)
    DO UPDATE SET user_id = excluded.user_id, released_at = excluded.released_at, applied_at = NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION orders_note_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_orders (attempt_id, flash_sale_id, user_id)
    SELECT attempt_id, flash_sale_id, user_id FROM old_orders WHERE status = 'SUCCESS'
    EXCEPT
    SELECT attempt_id, flash_sale_id, user_id FROM new_orders WHERE status = 'SUCCESS'
    ON CONFLICT (attempt_id, flash_sale_id)
    DO UPDATE SET user_id = excluded.user_id, released_at = excluded.released_at, applied_at = NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION orders_note_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_orders (attempt_id, flash_sale_id, user_id)
    SELECT attempt_id, flash_sale_id, user_id FROM orders WHERE status = 'SUCCESS'
    ON CONFLICT (attempt_id, flash_sale_id)
    DO UPDATE SET user_id = excluded.user_id, released_at = excluded.released_at, applied_at = NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER orders_delete_is_noted AFTER DELETE ON orders REFERENCING OLD TABLE AS old_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_note_deleted();
CREATE TRIGGER orders_update_is_noted AFTER UPDATE ON orders
    REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_note_changed();
CREATE TRIGGER orders_truncate_is_noted BEFORE TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION orders_note_all();
