-- Roles of the people and programs that run the shop, accounts that are disabled, and tokens that were ended. Instant: the check is
-- proved for the existing rows by the next migration, which keeps nobody waiting; each of them meets the stricter one before it.
ALTER TABLE users
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT users_role_check
        CHECK (role IN ('admin', 'operator', 'support', 'auditor', 'service', 'user')) NOT VALID,
    -- Since when nobody can log in to the account, and no token of it counts.
    ADD COLUMN disabled_at TIMESTAMPTZ,
    -- Tokens issued before it count no more. Their times are whole seconds: a part of a second counts as a whole one.
    ADD COLUMN tokens_valid_from TIMESTAMPTZ;

-- The rows that API nodes have to hear of: removed accounts, as before, and accounts whose tokens were ended or that were disabled or
-- enabled. Processes of the version before take both for removed accounts, and look them up again.
ALTER TABLE account_changes ADD COLUMN kind TEXT NOT NULL DEFAULT 'removed'
    CONSTRAINT account_changes_kind_check CHECK (kind IN ('removed', 'sessions'));

-- A token says the role of its account, and enabling an account must not bring back the tokens it had: a change of the role and
-- disabling end them, also by a statement written by hand.
CREATE FUNCTION users_end_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tokens_valid_from IS NOT DISTINCT FROM OLD.tokens_valid_from THEN
        NEW.tokens_valid_from := greatest(
            date_trunc('second', clock_timestamp()) + interval '1 second',
            date_trunc('second', OLD.tokens_valid_from) + interval '2 seconds');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER users_update_ends_tokens BEFORE UPDATE OF role, disabled_at ON users
    FOR EACH ROW WHEN (OLD.role <> NEW.role OR (OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL))
    EXECUTE FUNCTION users_end_tokens();

-- A role that may change accounts needs no rights on account_changes.
CREATE FUNCTION users_note_sessions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (first_id, last_id, kind) VALUES (NEW.id, NEW.id, 'sessions');
    DELETE FROM account_changes WHERE id IN (
        SELECT id FROM account_changes WHERE changed_at < now() - interval '1 hour'
        ORDER BY changed_at LIMIT 2 FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END $$;

CREATE TRIGGER users_insert_notes_sessions AFTER INSERT ON users
    FOR EACH ROW WHEN (NEW.disabled_at IS NOT NULL OR NEW.tokens_valid_from IS NOT NULL)
    EXECUTE FUNCTION users_note_sessions();
CREATE TRIGGER users_update_notes_sessions AFTER UPDATE ON users
    FOR EACH ROW WHEN ((OLD.disabled_at, OLD.tokens_valid_from) IS DISTINCT FROM (NEW.disabled_at, NEW.tokens_valid_from))
    EXECUTE FUNCTION users_note_sessions();

-- Tokens with which the owners of accounts set another password: of each account the last one that was issued, until it is used. Without a
-- foreign key, so that TRUNCATE users stays possible: ids are not handed out twice.
CREATE TABLE password_resets (
    user_id    BIGINT PRIMARY KEY,
    -- SHA-256 of the token, which is stored nowhere.
    token_hash BYTEA NOT NULL CONSTRAINT password_resets_token_hash_key UNIQUE
        CONSTRAINT password_resets_token_hash_check CHECK (octet_length(token_hash) = 32),
    expires_at TIMESTAMPTZ NOT NULL
);
