-- Keys by which accounts are told apart: one for all spellings of a name, computed by the program (src/account_key.rs), since
-- NOCASE knows the case of ASCII letters only. NULL: not computed yet, or an older account has the key. The program computes the
-- keys of the existing accounts when it opens the file.
ALTER TABLE users ADD COLUMN username_key TEXT;
ALTER TABLE users ADD COLUMN email_key TEXT;

CREATE UNIQUE INDEX users_username_key_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key_key ON users (email_key);
-- Accounts whose keys are missing. An account without a key is found by its username.
CREATE INDEX users_without_key_idx ON users (id) WHERE username_key IS NULL OR email_key IS NULL;
CREATE INDEX users_without_username_key_idx ON users (username) WHERE username_key IS NULL;

-- For statements written by hand, which do not name the keys. The key of an ASCII name needs no tables; any other is computed by
-- the program, which looks for missing keys every minute.
CREATE TRIGGER users_insert_sets_username_key AFTER INSERT ON users
WHEN NEW.username_key IS NULL AND length(CAST(NEW.username AS BLOB)) = length(NEW.username)
BEGIN
    UPDATE users SET username_key = lower(NEW.username) WHERE id = NEW.id;
END;

CREATE TRIGGER users_insert_sets_email_key AFTER INSERT ON users
WHEN NEW.email_key IS NULL AND length(CAST(NEW.email AS BLOB)) = length(NEW.email)
BEGIN
    UPDATE users SET email_key = lower(NEW.email) WHERE id = NEW.id;
END;

CREATE TRIGGER users_update_sets_username_key AFTER UPDATE OF username ON users
WHEN NEW.username <> OLD.username AND NEW.username_key IS OLD.username_key
BEGIN
    UPDATE users SET username_key =
        CASE WHEN length(CAST(NEW.username AS BLOB)) = length(NEW.username) THEN lower(NEW.username) END
    WHERE id = NEW.id;
END;

CREATE TRIGGER users_update_sets_email_key AFTER UPDATE OF email ON users
WHEN NEW.email <> OLD.email AND NEW.email_key IS OLD.email_key
BEGIN
    UPDATE users SET email_key = CASE WHEN length(CAST(NEW.email AS BLOB)) = length(NEW.email) THEN lower(NEW.email) END
    WHERE id = NEW.id;
END;
