DROP TABLE password_resets;
DROP TRIGGER users_update_notes_sessions ON users;
DROP TRIGGER users_insert_notes_sessions ON users;
DROP TRIGGER users_update_ends_tokens ON users;
DROP FUNCTION users_note_sessions();
DROP FUNCTION users_end_tokens();
DELETE FROM account_changes WHERE kind <> 'removed';
ALTER TABLE account_changes DROP COLUMN kind;
-- The version before knows admins and shoppers.
UPDATE users SET role = 'user' WHERE role NOT IN ('user', 'admin');
ALTER TABLE users
    DROP COLUMN tokens_valid_from,
    DROP COLUMN disabled_at,
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT users_role_check CHECK (role IN ('user', 'admin'));
