-- The action log: who changed what, when and why. Entries are numbered without gaps, each has the SHA-256 of the one before and of
-- its own fields (docs/adr/0022), and none is ever changed. A statement written by hand leaves no entry.
CREATE TABLE admin_actions (
    id            BIGINT PRIMARY KEY CONSTRAINT admin_actions_id_check CHECK (id >= 1),
    at            TIMESTAMPTZ NOT NULL,
    action        TEXT NOT NULL CONSTRAINT admin_actions_action_check CHECK (action <> ''),
    -- The sale that it concerns, if it concerns one.
    flash_sale_id BIGINT,
    -- What was changed: product:3, sale:5, order:<attempt id>, user:7, letter:<id>.
    target        TEXT NOT NULL CONSTRAINT admin_actions_target_check CHECK (target <> ''),
    actor         TEXT NOT NULL CONSTRAINT admin_actions_actor_check CHECK (actor <> ''),
    role          TEXT NOT NULL,
    -- The IP address of the request, if there was one.
    address       TEXT,
    reason        TEXT NOT NULL,
    -- JSON objects, kept as they were written: the hash is over their text.
    before        JSON,
    after         JSON,
    previous_hash BYTEA NOT NULL CONSTRAINT admin_actions_previous_hash_check CHECK (octet_length(previous_hash) = 32),
    hash          BYTEA NOT NULL CONSTRAINT admin_actions_hash_check CHECK (octet_length(hash) = 32)
);
CREATE INDEX admin_actions_flash_sale_id_idx ON admin_actions (flash_sale_id, id) WHERE flash_sale_id IS NOT NULL;

CREATE FUNCTION admin_actions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the action log are never changed'
        USING ERRCODE = 'restrict_violation', TABLE = 'admin_actions', CONSTRAINT = 'admin_actions_stay';
END $$;

CREATE TRIGGER admin_actions_are_not_changed BEFORE UPDATE OR DELETE ON admin_actions
    FOR EACH ROW EXECUTE FUNCTION admin_actions_stay();
CREATE TRIGGER admin_actions_are_not_truncated BEFORE TRUNCATE ON admin_actions
    FOR EACH STATEMENT EXECUTE FUNCTION admin_actions_stay();

-- The last entry. Writers lock this row, so that entries have one order; and it tells when the last entries were deleted.
CREATE TABLE admin_actions_head (
    -- One row and no more.
    is_only_row BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT admin_actions_head_one_row_check CHECK (is_only_row),
    last_id     BIGINT NOT NULL,
    last_hash   BYTEA NOT NULL CONSTRAINT admin_actions_head_last_hash_check CHECK (octet_length(last_hash) = 32)
)
WITH (fillfactor = 50);
INSERT INTO admin_actions_head (last_id, last_hash) VALUES (0, decode(repeat('00', 32), 'hex'));
