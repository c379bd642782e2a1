-- An UPDATE may only replace `reason`, `before` and `after` of an entry by the texts of an erasure (docs/adr/0027). The entry of the
-- erasure proves it; `audit` finds any other change.
DROP TRIGGER admin_actions_update_is_refused;
CREATE TRIGGER admin_actions_update_is_refused BEFORE UPDATE ON admin_actions
WHEN NOT (
    (NEW.id, NEW.at, NEW.action, NEW.flash_sale_id, NEW.target, NEW.actor, NEW.role, NEW.address, NEW.previous_hash, NEW.hash)
    IS (OLD.id, OLD.at, OLD.action, OLD.flash_sale_id, OLD.target, OLD.actor, OLD.role, OLD.address, OLD.previous_hash, OLD.hash)
    AND (NEW.reason, NEW.before, NEW.after) IS NOT (OLD.reason, OLD.before, OLD.after)
    AND NEW.reason IN (OLD.reason, '[erased]')
    AND (NEW.before IS OLD.before OR NEW.before IS '{"erased":true}')
    AND (NEW.after IS OLD.after OR NEW.after IS '{"erased":true}')
)
BEGIN
    SELECT RAISE(ABORT, 'admin_actions_stay: entries of the action log are never changed');
END;
