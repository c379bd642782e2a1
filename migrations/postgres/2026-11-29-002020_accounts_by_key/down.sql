DROP TRIGGER users_update_sets_keys ON users;
ALTER TABLE users ALTER COLUMN username TYPE VARCHAR(50);
CREATE TRIGGER users_update_sets_keys BEFORE UPDATE OF username, email ON users
    FOR EACH ROW EXECUTE FUNCTION users_set_keys();
ALTER INDEX users_username_lower_key RENAME TO users_username_key_key;
ALTER INDEX users_email_lower_key RENAME TO users_email_key_key;
CREATE UNIQUE INDEX users_username_lower_key ON users (lower(username));
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email));
