-- Which ledger this is: the 16 bytes of a random UUID (version 4). It tells the tokens of another data file from those of
-- this one. A copied data file keeps it.
CREATE TABLE ledger_identity (
    -- One row and no more.
    is_only_row INTEGER PRIMARY KEY DEFAULT 1 CONSTRAINT ledger_identity_one_row_check CHECK (is_only_row = 1),
    ledger_id   BLOB NOT NULL CONSTRAINT ledger_identity_ledger_id_check CHECK (length(ledger_id) = 16),
    created_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;
-- The 13th hexadecimal digit is the version, the 17th the variant (RFC 9562, section 5.4).
INSERT INTO ledger_identity (ledger_id)
SELECT unhex(substr(h, 1, 12) || '4' || substr(h, 14, 3) || substr('89ab', 1 + abs(random() % 4), 1) || substr(h, 18))
FROM (SELECT hex(randomblob(16)) AS h);
