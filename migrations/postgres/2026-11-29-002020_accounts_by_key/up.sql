-- The keys decide alone: lower() has names as one that the keys tell apart, as İx and ix in most locales, and an account that one
-- ledger took would be refused by the other. Processes of the version before find accounts by lower(username).
CREATE INDEX users_username_lower_idx ON users (lower(username));
DROP INDEX users_username_lower_key;
DROP INDEX users_email_lower_key;
