-- What the programs of the shop prove themselves with, and what they may do: one row for each account with the role service. Without a
-- foreign key, as password_resets.
CREATE TABLE service_credentials (
    user_id     INTEGER PRIMARY KEY,
    -- Names of scopes with single spaces between them. A program of another version passes over those that it does not know.
    scopes      TEXT NOT NULL,
    -- SHA-256 of the client secret, which is stored nowhere.
    secret_hash BLOB NOT NULL CONSTRAINT service_credentials_secret_hash_check CHECK (length(secret_hash) = 32),
    changed_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;
