-- Equality of product_id inside a GiST index. Trusted since PostgreSQL 13: the database's owner may create it.
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE flash_sales (
    id              BIGSERIAL PRIMARY KEY,
    product_id      BIGINT NOT NULL CONSTRAINT flash_sales_product_id_fkey REFERENCES products (id),
    start_time      TIMESTAMPTZ NOT NULL,
    end_time        TIMESTAMPTZ NOT NULL,
    initial_stock   INTEGER NOT NULL CONSTRAINT flash_sales_initial_stock_check CHECK (initial_stock >= 0),
    -- Units for which no order stands. Kept by the triggers on orders, see the next migration.
    remaining_stock INTEGER NOT NULL
        CONSTRAINT flash_sales_remaining_stock_check CHECK (remaining_stock BETWEEN 0 AND initial_stock),
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT flash_sales_window_check CHECK (end_time > start_time),
    -- What an order refers to, so that it cannot name another product than its sale.
    CONSTRAINT flash_sales_id_product_id_key UNIQUE (id, product_id),
    -- Results are kept by product, so two sales of one product never overlap. Its index serves product_id as well.
    CONSTRAINT flash_sales_no_overlap EXCLUDE USING gist (product_id WITH =, tstzrange(start_time, end_time) WITH &&)
);

-- The catalog is read every second: what has not ended, and the last that has.
CREATE INDEX flash_sales_end_time_idx ON flash_sales (end_time);
