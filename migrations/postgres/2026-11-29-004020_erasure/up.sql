-- An UPDATE may only replace `reason`, `before` and `after` of an entry by the texts of an erasure (docs/adr/0027). The entry of the
-- erasure proves it; `audit` finds any other change.
CREATE OR REPLACE FUNCTION admin_actions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.at, NEW.action, NEW.flash_sale_id, NEW.target, NEW.actor, NEW.role, NEW.address, NEW.previous_hash, NEW.hash)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.at, OLD.action, OLD.flash_sale_id, OLD.target, OLD.actor, OLD.role, OLD.address, OLD.previous_hash, OLD.hash)
            AND (NEW.reason, NEW.before::text, NEW.after::text) IS DISTINCT FROM (OLD.reason, OLD.before::text, OLD.after::text)
            AND NEW.reason IN (OLD.reason, '[erased]')
            AND (NEW.before::text IS NOT DISTINCT FROM OLD.before::text OR NEW.before::text = '{"erased":true}')
            AND (NEW.after::text IS NOT DISTINCT FROM OLD.after::text OR NEW.after::text = '{"erased":true}')
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'entries of the action log are never changed'
        USING ERRCODE = 'restrict_violation', TABLE = 'admin_actions', CONSTRAINT = 'admin_actions_stay';
END $$;
