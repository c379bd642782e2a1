ALTER TABLE purchase_attempts RENAME TO purchase_attempts_before;
CREATE TABLE purchase_attempts (
    attempt_id    BLOB NOT NULL PRIMARY KEY CONSTRAINT purchase_attempts_id_check CHECK (length(attempt_id) = 16),
    flash_sale_id INTEGER NOT NULL,
    user_id       INTEGER NOT NULL,
    product_id    INTEGER NOT NULL,
    -- By the clock of the process that took it.
    attempted_at  INTEGER NOT NULL,
    outcome       TEXT NOT NULL CONSTRAINT purchase_attempts_outcome_check
        CHECK (outcome IN ('ORDERED', 'SOLD_OUT', 'ALREADY_ORDERED', 'REJECTED')),
    -- Of a rejection.
    cause         TEXT,
    settled_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT, WITHOUT ROWID;
-- As the version before recorded them.
INSERT INTO purchase_attempts
    (attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, settled_at)
SELECT attempt_id, flash_sale_id, user_id, product_id, attempted_at,
    CASE outcome WHEN 'NO_ACCOUNT' THEN 'REJECTED' ELSE outcome END,
    CASE outcome WHEN 'NO_ACCOUNT' THEN 'there is no user ' || user_id ELSE cause END, settled_at
FROM purchase_attempts_before;
DROP TABLE purchase_attempts_before;
