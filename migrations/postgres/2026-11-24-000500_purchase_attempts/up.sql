-- One row for each logged attempt, with what became of it. No foreign keys: it says what the log said, also of users and
-- sales that never were.
CREATE TABLE purchase_attempts (
    -- The only key that is ever searched, by settling and by the relay; an index more would be paid for on every
    -- attempt. Ids of version 7 rise with time, so the index grows at its end.
    attempt_id    UUID PRIMARY KEY,
    flash_sale_id BIGINT NOT NULL,
    user_id       BIGINT NOT NULL,
    product_id    BIGINT NOT NULL,
    -- By the clock of the node that took it.
    attempted_at  TIMESTAMPTZ NOT NULL,
    outcome       TEXT NOT NULL CONSTRAINT purchase_attempts_outcome_check
        CHECK (outcome IN ('ORDERED', 'SOLD_OUT', 'ALREADY_ORDERED', 'REJECTED')),
    -- Of a rejection.
    cause         TEXT,
    topic         TEXT NOT NULL,
    partition     INTEGER NOT NULL,
    settled_at    TIMESTAMPTZ NOT NULL DEFAULT now()
);
