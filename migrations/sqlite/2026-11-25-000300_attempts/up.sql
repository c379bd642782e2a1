-- The log: accepted attempts in their order, each with the record that Kafka would have. Settled ones go after a week.
CREATE TABLE attempt_log (
    log_offset  INTEGER PRIMARY KEY CONSTRAINT attempt_log_offset_check CHECK (log_offset >= 0),
    record      BLOB NOT NULL,
    appended_at INTEGER NOT NULL
) STRICT;

-- Records of the log that cannot be decoded or settled.
CREATE TABLE dead_letters (
    partition  INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    cause      TEXT NOT NULL,
    record_key BLOB,
    record     BLOB,
    buried_at  INTEGER NOT NULL,
    PRIMARY KEY (partition, log_offset)
) STRICT, WITHOUT ROWID;

-- One row for each logged attempt, with what became of it. No foreign keys: it says what the log said, also of users and
-- sales that never were.
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

-- What shoppers are told who hold no unit. Who holds one is told by the gate or, later, by the order.
CREATE TABLE results (
    user_id       INTEGER NOT NULL,
    product_id    INTEGER NOT NULL,
    flash_sale_id INTEGER NOT NULL,
    result        TEXT NOT NULL CONSTRAINT results_result_check CHECK (result IN ('SUCCESS', 'FAILED')),
    expires_at    INTEGER NOT NULL,
    PRIMARY KEY (user_id, product_id)
) STRICT, WITHOUT ROWID;
