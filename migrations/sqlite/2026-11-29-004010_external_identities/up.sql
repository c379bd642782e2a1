-- Accounts that were made for subjects of the shop's issuer. Their rows of users have no name, no address and no password. Without a
-- foreign key, as password_resets; a row whose account is gone is replaced when its subject comes again.
CREATE TABLE external_identities (
    issuer     TEXT NOT NULL CONSTRAINT external_identities_issuer_check CHECK (issuer <> ''),
    subject    TEXT NOT NULL CONSTRAINT external_identities_subject_check CHECK (length(subject) BETWEEN 1 AND 255),
    user_id    INTEGER NOT NULL CONSTRAINT external_identities_user_id_key UNIQUE,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
