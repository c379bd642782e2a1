-- For the exclusion constraint below: equality on an integer in a GiST index.
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE flash_sales (
    id              BIGSERIAL PRIMARY KEY,
    product_id      BIGINT      NOT NULL REFERENCES products (id),
    start_time      TIMESTAMPTZ NOT NULL,
    end_time        TIMESTAMPTZ NOT NULL,
    initial_stock   INTEGER     NOT NULL CHECK (initial_stock >= 0),
    remaining_stock INTEGER     NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT flash_sales_window CHECK (end_time > start_time),
    -- Never oversold: units are taken from here and never below zero.
    CONSTRAINT flash_sales_stock CHECK (remaining_stock BETWEEN 0 AND initial_stock),
    -- Results are kept by product: two sales of one product must not overlap.
    CONSTRAINT flash_sales_one_at_a_time
        EXCLUDE USING gist (product_id WITH =, tstzrange(start_time, end_time) WITH &&),
    -- For the foreign key of orders, so that an order's product is its sale's.
    CONSTRAINT flash_sales_id_product_key UNIQUE (id, product_id)
);

CREATE INDEX flash_sales_end_time_idx ON flash_sales (end_time);
