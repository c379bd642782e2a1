-- What people decided about dead letters, one row for each decision; the last one counts. Rows are never changed.
CREATE TABLE dead_letter_decisions (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The log whose letter it is, and where the letter lies among its dead letters.
    topic          TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    letter_offset  INTEGER NOT NULL,
    -- Tells the letter from one of the same place that was buried at another time.
    buried_at      INTEGER NOT NULL,
    decision       TEXT NOT NULL CONSTRAINT dead_letter_decisions_decision_check CHECK (decision IN ('REPLAYED', 'DISCARDED')),
    -- The attempt that was appended to the log.
    attempt_id     BLOB CONSTRAINT dead_letter_decisions_attempt_id_check CHECK (length(attempt_id) = 16),
    reason         TEXT,
    decided_by     TEXT NOT NULL CONSTRAINT dead_letter_decisions_by_check CHECK (decided_by <> ''),
    decided_at     INTEGER NOT NULL,
    CONSTRAINT dead_letter_decisions_attempt_check CHECK ((decision = 'REPLAYED') = (attempt_id IS NOT NULL)),
    -- Nothing is thrown away without a reason.
    CONSTRAINT dead_letter_decisions_reason_check CHECK (decision <> 'DISCARDED' OR coalesce(reason, '') <> '')
) STRICT;
