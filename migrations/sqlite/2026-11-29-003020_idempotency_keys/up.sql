-- Keys of requests (header Idempotency-Key), each stored in the transaction of its change, so that the change is made once. They
-- count for 24 hours, and are deleted after that.
CREATE TABLE idempotency_keys (
    actor       TEXT NOT NULL,
    key         TEXT NOT NULL CONSTRAINT idempotency_keys_key_check CHECK (length(key) BETWEEN 1 AND 255),
    -- SHA-256 of method, path and body.
    fingerprint BLOB NOT NULL CONSTRAINT idempotency_keys_fingerprint_check CHECK (length(fingerprint) = 32),
    -- The entry of the action log; none if nothing had to be changed.
    action_id   INTEGER,
    -- The first answer, once it is known.
    status      INTEGER CONSTRAINT idempotency_keys_status_check CHECK (status BETWEEN 100 AND 599),
    body        TEXT,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (actor, key),
    CONSTRAINT idempotency_keys_answer_check CHECK ((status IS NULL) = (body IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);
