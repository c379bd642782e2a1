-- The role of `serve` registers shoppers and makes service accounts, so that it may insert users. Accounts of those who run the shop are
-- made by the owner of the table alone. A grant by column cannot say this: the role is a value. Runs as the user of the statement, for
-- such rows only: registrations pay for one comparison.
CREATE FUNCTION users_check_maker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'accounts with the role % are made by the owner of the table %', NEW.role, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', TABLE = 'users', CONSTRAINT = 'users_check_maker';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER users_insert_checks_maker BEFORE INSERT ON users
    FOR EACH ROW WHEN (NEW.role NOT IN ('user', 'service')) EXECUTE FUNCTION users_check_maker();
