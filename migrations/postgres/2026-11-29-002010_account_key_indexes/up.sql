-- Registration tells a taken username from a taken email by these names.
CREATE UNIQUE INDEX users_username_key_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key_key ON users (email_key);
-- Accounts whose keys are missing. An account without a key is found by its exact username.
CREATE INDEX users_without_key_idx ON users (id) WHERE username_key IS NULL OR email_key IS NULL;
CREATE INDEX users_without_username_key_idx ON users (username) WHERE username_key IS NULL;
