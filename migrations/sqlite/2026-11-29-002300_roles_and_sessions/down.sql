DROP TABLE password_resets;
DROP TRIGGER users_update_notes_sessions;
DROP TRIGGER users_insert_notes_sessions;
DROP TRIGGER users_update_ends_tokens;
DELETE FROM account_changes WHERE kind <> 'removed';
ALTER TABLE account_changes DROP COLUMN kind;
DROP INDEX users_staff_idx;
DROP INDEX users_sessions_idx;
ALTER TABLE users DROP COLUMN tokens_valid_from;
ALTER TABLE users DROP COLUMN disabled_at;
-- The version before knows admins and shoppers.
ALTER TABLE users ADD COLUMN old_role TEXT NOT NULL DEFAULT 'user' CONSTRAINT users_role_check CHECK (old_role IN ('user', 'admin'));
UPDATE users SET old_role = role WHERE role = 'admin';
ALTER TABLE users DROP COLUMN role;
ALTER TABLE users RENAME COLUMN old_role TO role;
