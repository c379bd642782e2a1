-- Keys by which accounts are told apart: one for all spellings of a name, computed by the program (src/account_key.rs), since
-- lower() depends on the database's locale. NULL: not computed yet, or an older account has the key.
--
-- Four migrations, so that reading and settling wait for none of them: this one and the third (002020) are instant, the second and
-- the fourth build indexes, for which registrations wait. Before the third `flashsale migrate` computes the keys of the existing
-- accounts, in batches that each stand by themselves.
ALTER TABLE users ADD COLUMN username_key TEXT, ADD COLUMN email_key TEXT;

-- For statements that do not name the keys: those written by hand, and those of processes of the version before. The key of an
-- ASCII name needs no tables; any other is computed by the program, which looks for missing keys every minute.
CREATE FUNCTION users_set_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.username <> OLD.username AND NEW.username_key IS NOT DISTINCT FROM OLD.username_key THEN
            NEW.username_key := NULL;
        END IF;
        IF NEW.email <> OLD.email AND NEW.email_key IS NOT DISTINCT FROM OLD.email_key THEN
            NEW.email_key := NULL;
        END IF;
    END IF;
    IF NEW.username_key IS NULL AND octet_length(NEW.username) = char_length(NEW.username) THEN
        NEW.username_key := lower(NEW.username COLLATE "C");
    END IF;
    IF NEW.email_key IS NULL AND octet_length(NEW.email) = char_length(NEW.email) THEN
        NEW.email_key := lower(NEW.email COLLATE "C");
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER users_insert_sets_keys BEFORE INSERT ON users
    FOR EACH ROW WHEN (NEW.username_key IS NULL OR NEW.email_key IS NULL) EXECUTE FUNCTION users_set_keys();
CREATE TRIGGER users_update_sets_keys BEFORE UPDATE OF username, email ON users
    FOR EACH ROW EXECUTE FUNCTION users_set_keys();
