-- The version of a sale's terms: product, window and initial_stock. Every change of them increases it, also one by a
-- statement written by hand; the worker applies to the gate the terms that are newer than its own. Settling changes
-- remaining_stock only, and no version.
ALTER TABLE flash_sales ADD COLUMN version INTEGER NOT NULL DEFAULT 1
    CONSTRAINT flash_sales_version_check CHECK (version >= 1);

CREATE TRIGGER flash_sales_update_changes_terms AFTER UPDATE OF product_id, start_time, end_time, initial_stock ON flash_sales
WHEN NEW.version <= OLD.version
    AND (OLD.product_id, OLD.start_time, OLD.end_time, OLD.initial_stock)
        IS NOT (NEW.product_id, NEW.start_time, NEW.end_time, NEW.initial_stock)
BEGIN
    UPDATE flash_sales SET version = OLD.version + 1 WHERE id = NEW.id;
END;

CREATE TRIGGER flash_sales_update_keeps_version BEFORE UPDATE OF version ON flash_sales
WHEN NEW.version < OLD.version
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_version: a lower version would be applied by nobody');
END;

-- To add ten units, add ten to initial_stock: remaining_stock follows. To take units away, lower both columns by the same
-- number: SQLite checks that remaining_stock is not above initial_stock before a trigger can follow.
DROP TRIGGER flash_sales_update_stock_is_true;
CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE OF id, initial_stock, remaining_stock ON flash_sales
WHEN NEW.moves = OLD.moves
    AND NOT (NEW.id = OLD.id AND NEW.initial_stock > OLD.initial_stock AND NEW.remaining_stock = OLD.remaining_stock)
    AND NEW.remaining_stock <> NEW.initial_stock
        - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_stock_is_true: remaining_stock must be initial_stock less the SUCCESS orders');
END;

CREATE TRIGGER flash_sales_update_remaining_follows AFTER UPDATE OF initial_stock ON flash_sales
WHEN NEW.initial_stock > OLD.initial_stock AND NEW.remaining_stock = OLD.remaining_stock
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + (NEW.initial_stock - OLD.initial_stock) WHERE id = NEW.id;
END;

-- Orders that ended: SUCCESS once, and deleted, or set to another status, sale, shopper or attempt. The row here comes
-- with the same transaction, also when it is done by hand; the worker takes these orders out of the gate, and says so in applied_at.
CREATE TABLE released_orders (
    attempt_id    BLOB NOT NULL CONSTRAINT released_orders_attempt_id_check CHECK (length(attempt_id) = 16),
    flash_sale_id INTEGER NOT NULL,
    user_id       INTEGER NOT NULL,
    released_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    -- When the gate confirmed that it has taken the order out.
    applied_at    INTEGER,
    PRIMARY KEY (attempt_id, flash_sale_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX released_orders_to_apply_idx ON released_orders (flash_sale_id) WHERE applied_at IS NULL;

CREATE TRIGGER orders_delete_is_noted AFTER DELETE ON orders WHEN OLD.status = 'SUCCESS'
BEGIN
    INSERT OR REPLACE INTO released_orders (attempt_id, flash_sale_id, user_id)
    VALUES (OLD.attempt_id, OLD.flash_sale_id, OLD.user_id);
END;

CREATE TRIGGER orders_update_is_noted AFTER UPDATE ON orders
WHEN OLD.status = 'SUCCESS' AND (OLD.status, OLD.attempt_id, OLD.flash_sale_id, OLD.user_id)
    IS NOT (NEW.status, NEW.attempt_id, NEW.flash_sale_id, NEW.user_id)
BEGIN
    INSERT OR REPLACE INTO released_orders (attempt_id, flash_sale_id, user_id)
    VALUES (OLD.attempt_id, OLD.flash_sale_id, OLD.user_id);
END;
