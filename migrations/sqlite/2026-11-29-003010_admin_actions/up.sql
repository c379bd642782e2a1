-- The action log: who changed what, when and why. Entries are numbered without gaps, each has the SHA-256 of the one before and of
-- its own fields (docs/adr/0022), and none is ever changed. A statement written by hand leaves no entry.
CREATE TABLE admin_actions (
    id            INTEGER PRIMARY KEY CONSTRAINT admin_actions_id_check CHECK (id >= 1),
    at            INTEGER NOT NULL,
    action        TEXT NOT NULL CONSTRAINT admin_actions_action_check CHECK (action <> ''),
    -- The sale that it concerns, if it concerns one.
    flash_sale_id INTEGER,
    -- What was changed: product:3, sale:5, order:<attempt id>, user:7, letter:<id>.
    target        TEXT NOT NULL CONSTRAINT admin_actions_target_check CHECK (target <> ''),
    actor         TEXT NOT NULL CONSTRAINT admin_actions_actor_check CHECK (actor <> ''),
    role          TEXT NOT NULL,
    -- The IP address of the request, if there was one.
    address       TEXT,
    reason        TEXT NOT NULL,
    -- JSON objects, kept as they were written: the hash is over their text.
    before        TEXT,
    after         TEXT,
    previous_hash BLOB NOT NULL CONSTRAINT admin_actions_previous_hash_check CHECK (length(previous_hash) = 32),
    hash          BLOB NOT NULL CONSTRAINT admin_actions_hash_check CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX admin_actions_flash_sale_id_idx ON admin_actions (flash_sale_id, id) WHERE flash_sale_id IS NOT NULL;

CREATE TRIGGER admin_actions_update_is_refused BEFORE UPDATE ON admin_actions
BEGIN
    SELECT RAISE(ABORT, 'admin_actions_stay: entries of the action log are never changed');
END;

CREATE TRIGGER admin_actions_delete_is_refused BEFORE DELETE ON admin_actions
BEGIN
    SELECT RAISE(ABORT, 'admin_actions_stay: entries of the action log are never changed');
END;

-- SQLite's REPLACE deletes what is in its way without a delete trigger.
CREATE TRIGGER admin_actions_insert_replaces_none BEFORE INSERT ON admin_actions
WHEN EXISTS (SELECT 1 FROM admin_actions WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'admin_actions_stay: entries of the action log are never changed');
END;

-- The last entry: it tells when the last entries were deleted.
CREATE TABLE admin_actions_head (
    -- One row and no more.
    is_only_row INTEGER PRIMARY KEY DEFAULT 1 CONSTRAINT admin_actions_head_one_row_check CHECK (is_only_row = 1),
    last_id     INTEGER NOT NULL,
    last_hash   BLOB NOT NULL CONSTRAINT admin_actions_head_last_hash_check CHECK (length(last_hash) = 32)
) STRICT;
INSERT INTO admin_actions_head (last_id, last_hash) VALUES (0, zeroblob(32));
