DROP TRIGGER users_update_is_noted;
DROP TRIGGER users_delete_is_noted;
DROP TABLE account_changes;
