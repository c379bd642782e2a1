-- Times are milliseconds since 1970 in UTC, attempt ids the 16 bytes of their UUID.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Unique whatever their case.
    username      TEXT NOT NULL COLLATE NOCASE CONSTRAINT users_username_key UNIQUE,
    email         TEXT NOT NULL COLLATE NOCASE CONSTRAINT users_email_key UNIQUE,
    -- PHC string.
    password_hash TEXT NOT NULL,
    full_name     TEXT,
    role          TEXT NOT NULL DEFAULT 'user' CONSTRAINT users_role_check CHECK (role IN ('user', 'admin')),
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

CREATE TABLE products (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sku         TEXT NOT NULL CONSTRAINT products_sku_key UNIQUE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    price_cents INTEGER NOT NULL CONSTRAINT products_price_cents_check CHECK (price_cents >= 0),
    created_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

CREATE TABLE flash_sales (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    product_id      INTEGER NOT NULL CONSTRAINT flash_sales_product_id_fkey REFERENCES products (id),
    start_time      INTEGER NOT NULL,
    end_time        INTEGER NOT NULL,
    initial_stock   INTEGER NOT NULL CONSTRAINT flash_sales_initial_stock_check CHECK (initial_stock >= 0),
    -- Units for which no order stands. Kept by the triggers on orders.
    remaining_stock INTEGER NOT NULL
        CONSTRAINT flash_sales_remaining_stock_check CHECK (remaining_stock BETWEEN 0 AND initial_stock),
    -- Counts what orders took and gave back. Stock that changes without it was set by hand, and must tell the truth.
    moves           INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    CONSTRAINT flash_sales_window_check CHECK (end_time > start_time),
    -- What an order refers to, so that it cannot name another product than its sale.
    CONSTRAINT flash_sales_id_product_id_key UNIQUE (id, product_id)
) STRICT;

CREATE INDEX flash_sales_product_id_idx ON flash_sales (product_id, start_time);
CREATE INDEX flash_sales_end_time_idx ON flash_sales (end_time);

-- Results are kept by product, so two sales of one product never overlap.
CREATE TRIGGER flash_sales_insert_no_overlap BEFORE INSERT ON flash_sales
WHEN EXISTS (SELECT 1 FROM flash_sales s
    WHERE s.product_id = NEW.product_id AND s.start_time < NEW.end_time AND s.end_time > NEW.start_time)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_no_overlap: another sale of the product overlaps');
END;

CREATE TRIGGER flash_sales_update_no_overlap BEFORE UPDATE OF product_id, start_time, end_time ON flash_sales
WHEN EXISTS (SELECT 1 FROM flash_sales s
    WHERE s.id <> OLD.id AND s.product_id = NEW.product_id AND s.start_time < NEW.end_time AND s.end_time > NEW.start_time)
BEGIN
    SELECT RAISE(ABORT, 'flash_sales_no_overlap: another sale of the product overlaps');
END;
