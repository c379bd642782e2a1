-- The keys decide alone: lower() has names as one that the keys tell apart, as İx and ix in most locales, and an account that one
-- ledger took would be refused by the other. The new indexes get the names of the old ones: processes of the version before
-- tell a taken username from a taken email by these names, and answer 503 to a violation of any other.
DROP INDEX users_username_lower_key;
DROP INDEX users_email_lower_key;
ALTER INDEX users_username_key_key RENAME TO users_username_lower_key;
ALTER INDEX users_email_key_key RENAME TO users_email_lower_key;

-- Accounts of the original service keep their names, which had no limit; registration still gives 50 characters. Here, since
-- PostgreSQL builds every index anew that has the column in an expression or a predicate, and keeps readers out meanwhile: at
-- this point there is none, and the change is instant. A trigger that names the column forbids it.
DROP TRIGGER users_update_sets_keys ON users;
ALTER TABLE users ALTER COLUMN username TYPE VARCHAR(255);
CREATE TRIGGER users_update_sets_keys BEFORE UPDATE OF username, email ON users
    FOR EACH ROW EXECUTE FUNCTION users_set_keys();

-- Processes of the version before (they call themselves flashsale, without a version) keep prepared statements that select the
-- column: "cached plan must not change result type" would be the answer to each of their logins for good. They replace a session
-- that is ended, and can prepare the statement only after this transaction, which has the table locked. A role that may not end
-- them leaves them as they are.
DO $$
DECLARE
    session INTEGER;
BEGIN
    FOR session IN SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'flashsale' LOOP
        BEGIN
            PERFORM pg_terminate_backend(session);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'session % cannot be ended: its process has to be restarted', session;
        END;
    END LOOP;
END $$;
