CREATE TYPE order_status AS ENUM ('PENDING', 'SUCCESS', 'FAILED');

CREATE TABLE orders (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       BIGINT       NOT NULL REFERENCES users (id),
    product_id    BIGINT       NOT NULL,
    flash_sale_id BIGINT       NOT NULL,
    status        order_status NOT NULL DEFAULT 'PENDING',
    -- The attempt that the order came of; an attempt makes one order at most.
    attempt_id    UUID         NOT NULL UNIQUE,
    created_at    TIMESTAMPTZ  NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ  NOT NULL DEFAULT now(),
    FOREIGN KEY (flash_sale_id, product_id) REFERENCES flash_sales (id, product_id),
    -- One item a shopper.
    CONSTRAINT orders_one_a_shopper UNIQUE (flash_sale_id, user_id)
);

CREATE INDEX orders_user_id_idx ON orders (user_id);
