-- How far a group has settled each partition of a log, and who may read it now. The offset is exact: it moves inside the
-- transaction that settles. The lease only spares two workers the same work.
CREATE TABLE consumer_partitions (
    group_name       TEXT NOT NULL,
    topic            TEXT NOT NULL,
    partition        INTEGER NOT NULL CONSTRAINT consumer_partitions_partition_check CHECK (partition >= 0),
    -- The first record that is not settled.
    next_offset      INTEGER NOT NULL DEFAULT 0
        CONSTRAINT consumer_partitions_next_offset_check CHECK (next_offset >= 0),
    last_attempt_id  BLOB,
    owner            TEXT,
    lease_expires_at INTEGER,
    PRIMARY KEY (group_name, topic, partition),
    CONSTRAINT consumer_partitions_lease_check CHECK ((owner IS NULL) = (lease_expires_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE consumer_members (
    group_name TEXT NOT NULL,
    topic      TEXT NOT NULL,
    member_id  TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, member_id)
) STRICT, WITHOUT ROWID;
