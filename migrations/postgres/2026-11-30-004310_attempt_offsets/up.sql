-- Where the record of an attempt is in its partition. NULL: settled by an earlier version.
ALTER TABLE purchase_attempts ADD COLUMN log_offset BIGINT;
