DROP TRIGGER users_update_sets_keys ON users;
DROP TRIGGER users_insert_sets_keys ON users;
DROP FUNCTION users_set_keys();
ALTER TABLE users DROP COLUMN username_key, DROP COLUMN email_key;
