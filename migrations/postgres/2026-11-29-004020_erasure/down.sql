-- What was erased stays erased. The version before calls those entries changed.
CREATE OR REPLACE FUNCTION admin_actions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the action log are never changed'
        USING ERRCODE = 'restrict_violation', TABLE = 'admin_actions', CONSTRAINT = 'admin_actions_stay';
END $$;
