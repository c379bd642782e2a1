-- How far each partition of the log is settled, and which worker reads it now.
CREATE TABLE consumer_partitions (
    group_name       TEXT        NOT NULL,
    topic            TEXT        NOT NULL,
    partition        INTEGER     NOT NULL CHECK (partition >= 0),
    -- The first record that is not settled. Moved by compare-and-set, together with what is settled.
    next_offset      BIGINT      NOT NULL DEFAULT 0 CHECK (next_offset >= 0),
    -- The attempt of the record before it, to notice a topic that was made anew.
    last_attempt_id  UUID,
    owner            TEXT,
    lease_expires_at TIMESTAMPTZ,
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, topic, partition)
);

-- The workers that share the partitions.
CREATE TABLE consumer_members (
    group_name TEXT        NOT NULL,
    topic      TEXT        NOT NULL,
    member_id  TEXT        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (group_name, topic, member_id)
);
