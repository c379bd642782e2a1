CREATE TABLE orders (
    flash_sale_id INTEGER NOT NULL,
    user_id       INTEGER NOT NULL CONSTRAINT orders_user_id_fkey REFERENCES users (id),
    product_id    INTEGER NOT NULL,
    status        TEXT NOT NULL DEFAULT 'PENDING'
        CONSTRAINT orders_status_check CHECK (status IN ('PENDING', 'SUCCESS', 'FAILED')),
    -- The logged attempt it was made for; it names the order, too.
    attempt_id    BLOB NOT NULL CONSTRAINT orders_attempt_id_key UNIQUE
        CONSTRAINT orders_attempt_id_check CHECK (length(attempt_id) = 16),
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    -- One item a shopper.
    PRIMARY KEY (flash_sale_id, user_id),
    CONSTRAINT orders_flash_sale_fkey FOREIGN KEY (flash_sale_id, product_id) REFERENCES flash_sales (id, product_id)
) STRICT, WITHOUT ROWID;

-- For every sale and every writer: remaining_stock = initial_stock - number of SUCCESS orders.
--
-- Orders take and give back units by these triggers and by nothing else, so that a statement written by hand is bound
-- like the service: the check on remaining_stock refuses the unit too many and with it the order.
CREATE TRIGGER orders_insert_takes_unit AFTER INSERT ON orders WHEN NEW.status = 'SUCCESS'
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock - 1, moves = moves + 1 WHERE id = NEW.flash_sale_id;
END;

CREATE TRIGGER orders_delete_gives_back_unit AFTER DELETE ON orders WHEN OLD.status = 'SUCCESS'
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + 1, moves = moves + 1 WHERE id = OLD.flash_sale_id;
END;

CREATE TRIGGER orders_update_moves_unit AFTER UPDATE OF status, flash_sale_id ON orders
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + 1, moves = moves + 1
    WHERE id = OLD.flash_sale_id AND OLD.status = 'SUCCESS';
    UPDATE flash_sales SET remaining_stock = remaining_stock - 1, moves = moves + 1
    WHERE id = NEW.flash_sale_id AND NEW.status = 'SUCCESS';
END;

-- SQLite's REPLACE deletes what is in its way without a delete trigger: an order would vanish and its unit with it.
CREATE TRIGGER orders_insert_replaces_none BEFORE INSERT ON orders
WHEN EXISTS (SELECT 1 FROM orders WHERE flash_sale_id = NEW.flash_sale_id AND user_id = NEW.user_id)
    OR EXISTS (SELECT 1 FROM orders WHERE attempt_id = NEW.attempt_id)
BEGIN
    SELECT RAISE(ABORT, 'orders_one_a_shopper: the shopper has an order of the sale, or the attempt has one');
END;

CREATE TRIGGER orders_update_replaces_none BEFORE UPDATE OF flash_sale_id, user_id, attempt_id ON orders
WHEN EXISTS (SELECT 1 FROM orders WHERE flash_sale_id = NEW.flash_sale_id AND user_id = NEW.user_id
        AND (flash_sale_id, user_id) <> (OLD.flash_sale_id, OLD.user_id))
    OR EXISTS (SELECT 1 FROM orders WHERE attempt_id = NEW.attempt_id AND attempt_id <> OLD.attempt_id)
BEGIN
    SELECT RAISE(ABORT, 'orders_one_a_shopper: the shopper has an order of the sale, or the attempt has one');
END;

CREATE TRIGGER flash_sales_insert_replaces_none BEFORE INSERT ON flash_sales
WHEN EXISTS (SELECT 1 FROM flash_sales WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_pkey: there is a sale with this id');
END;

-- To add ten units, add ten to both columns. Counting is dear, but whoever writes stock directly does it rarely.
CREATE TRIGGER flash_sales_insert_stock_is_true BEFORE INSERT ON flash_sales
WHEN NEW.remaining_stock <> NEW.initial_stock
    - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_stock_is_true: remaining_stock must be initial_stock less the SUCCESS orders');
END;

CREATE TRIGGER flash_sales_update_stock_is_true BEFORE UPDATE OF id, initial_stock, remaining_stock ON flash_sales
WHEN NEW.moves = OLD.moves AND NEW.remaining_stock <> NEW.initial_stock
    - (SELECT count(*) FROM orders WHERE flash_sale_id = NEW.id AND status = 'SUCCESS')
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_stock_is_true: remaining_stock must be initial_stock less the SUCCESS orders');
END;
