-- Registrations wait while these are built. The keys of the existing accounts are still NULL.
CREATE UNIQUE INDEX users_username_key_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key_key ON users (email_key);
-- Accounts whose keys are missing.
CREATE INDEX users_without_key_idx ON users (id) WHERE username_key IS NULL OR email_key IS NULL;
