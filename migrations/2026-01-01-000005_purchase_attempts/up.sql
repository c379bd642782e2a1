-- One row for every logged attempt that was settled. It says what the log said, so that nothing here refers to other
-- tables: an attempt of an unknown user has a row too.
CREATE TABLE purchase_attempts (
    attempt_id    UUID PRIMARY KEY,
    flash_sale_id BIGINT      NOT NULL,
    user_id       BIGINT      NOT NULL,
    product_id    BIGINT      NOT NULL,
    attempted_at  TIMESTAMPTZ NOT NULL,
    outcome       TEXT        NOT NULL
        CHECK (outcome IN ('ORDERED', 'SOLD_OUT', 'ALREADY_ORDERED', 'REJECTED')),
    topic         TEXT        NOT NULL,
    partition     INTEGER     NOT NULL,
    settled_at    TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX purchase_attempts_sale_user_idx ON purchase_attempts (flash_sale_id, user_id);
