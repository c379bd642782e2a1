DROP INDEX users_without_key_idx;
DROP INDEX users_email_key_key;
DROP INDEX users_username_key_key;
