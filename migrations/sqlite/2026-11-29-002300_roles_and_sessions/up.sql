-- Roles of the people and programs that run the shop, accounts that are disabled, and tokens that were ended. SQLite changes no
-- check: another column takes the place of role.
ALTER TABLE users ADD COLUMN new_role TEXT NOT NULL DEFAULT 'user' CONSTRAINT users_role_check
    CHECK (new_role IN ('admin', 'operator', 'support', 'auditor', 'service', 'user'));
UPDATE users SET new_role = role WHERE role <> 'user';
ALTER TABLE users DROP COLUMN role;
ALTER TABLE users RENAME COLUMN new_role TO role;
-- Since when nobody can log in to the account, and no token of it counts.
ALTER TABLE users ADD COLUMN disabled_at INTEGER;
-- Tokens issued before it count no more. Their times are whole seconds: a part of a second counts as a whole one.
ALTER TABLE users ADD COLUMN tokens_valid_from INTEGER;

CREATE INDEX users_sessions_idx ON users (id) WHERE disabled_at IS NOT NULL OR tokens_valid_from IS NOT NULL;
CREATE INDEX users_staff_idx ON users (id) WHERE role <> 'user';

-- Removed accounts, as before, and accounts whose tokens were ended or that were disabled or enabled.
ALTER TABLE account_changes ADD COLUMN kind TEXT NOT NULL DEFAULT 'removed'
    CONSTRAINT account_changes_kind_check CHECK (kind IN ('removed', 'sessions'));

-- A token says the role of its account, and enabling an account must not bring back the tokens it had: a change of the role and
-- disabling end them, also by a statement written by hand.
CREATE TRIGGER users_update_ends_tokens AFTER UPDATE OF role, disabled_at ON users
WHEN (OLD.role <> NEW.role OR (OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL))
    AND NEW.tokens_valid_from IS OLD.tokens_valid_from
BEGIN
    UPDATE users SET tokens_valid_from = 1000 * max(
        CAST((julianday('now') - 2440587.5) * 86400 AS INTEGER) + 1,
        coalesce(OLD.tokens_valid_from / 1000 + 2, 0))
    WHERE id = NEW.id;
END;

CREATE TRIGGER users_insert_notes_sessions AFTER INSERT ON users
WHEN NEW.disabled_at IS NOT NULL OR NEW.tokens_valid_from IS NOT NULL
BEGIN
    INSERT INTO account_changes (user_id, kind) VALUES (NEW.id, 'sessions');
END;

CREATE TRIGGER users_update_notes_sessions AFTER UPDATE OF disabled_at, tokens_valid_from ON users
WHEN (OLD.disabled_at, OLD.tokens_valid_from) IS NOT (NEW.disabled_at, NEW.tokens_valid_from)
BEGIN
    INSERT INTO account_changes (user_id, kind) VALUES (NEW.id, 'sessions');
    DELETE FROM account_changes WHERE id <= (SELECT max(id) FROM account_changes) - 100000;
END;

-- Tokens with which the owners of accounts set another password: of each account the last one that was issued, until it is used. Without a
-- foreign key, so that TRUNCATE users stays possible: ids are not handed out twice.
CREATE TABLE password_resets (
    user_id    INTEGER PRIMARY KEY,
    -- SHA-256 of the token, which is stored nowhere.
    token_hash BLOB NOT NULL CONSTRAINT password_resets_token_hash_key UNIQUE
        CONSTRAINT password_resets_token_hash_check CHECK (length(token_hash) = 32),
    expires_at INTEGER NOT NULL
) STRICT;
