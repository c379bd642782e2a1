DROP TRIGGER users_truncate_is_noted ON users;
DROP TRIGGER users_update_is_noted ON users;
DROP TRIGGER users_delete_is_noted ON users;
DROP FUNCTION users_note_truncated();
DROP FUNCTION users_note_renumbered();
DROP FUNCTION users_note_deleted();
DROP TABLE account_changes;
