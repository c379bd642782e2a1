-- Registrations wait while these are built. Processes of the version before find accounts by lower(username); until it is there,
-- each of their logins reads the table.
CREATE INDEX users_username_lower_idx ON users (lower(username));
-- An account without a key is found by its exact username.
CREATE INDEX users_without_username_key_idx ON users (username) WHERE username_key IS NULL;
