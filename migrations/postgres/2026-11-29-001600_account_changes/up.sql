-- Ids whose accounts were removed. API nodes hold the existing accounts in memory and read this table every second, so that a
-- token of a deleted account is refused everywhere within seconds. New accounts are not in it: nodes find those by their ids.
--
-- changed_by makes reading exact: what was committed by transactions below the oldest one that a reader's snapshot saw running
-- was visible to that reader, so that it reads on from there.
CREATE TABLE account_changes (
    id         BIGSERIAL PRIMARY KEY,
    first_id   BIGINT NOT NULL,
    last_id    BIGINT NOT NULL,
    changed_by XID8 NOT NULL DEFAULT pg_current_xact_id(),
    changed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT account_changes_range_check CHECK (first_id <= last_id)
);
CREATE INDEX account_changes_changed_by_idx ON account_changes (changed_by);
CREATE INDEX account_changes_changed_at_idx ON account_changes (changed_at);

-- A role that may delete accounts needs no rights on this table. Rows older than an hour go: a node that did not read for half an
-- hour reads all accounts again.
CREATE FUNCTION users_note_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (first_id, last_id)
    SELECT min(id), max(id) FROM (SELECT id, id - row_number() OVER (ORDER BY id) AS run FROM old_users) AS runs GROUP BY run;
    DELETE FROM account_changes WHERE id IN (
        SELECT id FROM account_changes WHERE changed_at < now() - interval '1 hour'
        ORDER BY changed_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END $$;

CREATE FUNCTION users_note_renumbered() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (first_id, last_id) VALUES (OLD.id, OLD.id);
    RETURN NULL;
END $$;

CREATE FUNCTION users_note_truncated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (first_id, last_id) VALUES (1, 9223372036854775807);
    RETURN NULL;
END $$;

CREATE TRIGGER users_delete_is_noted AFTER DELETE ON users REFERENCING OLD TABLE AS old_users
    FOR EACH STATEMENT EXECUTE FUNCTION users_note_deleted();
CREATE TRIGGER users_update_is_noted AFTER UPDATE OF id ON users
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION users_note_renumbered();
CREATE TRIGGER users_truncate_is_noted AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION users_note_truncated();
