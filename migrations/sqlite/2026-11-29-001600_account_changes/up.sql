-- Ids whose accounts were removed, in the order of their removal: the process holds the existing accounts in memory and reads
-- this table every second.
CREATE TABLE account_changes (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL
) STRICT;

-- Who has not read the last 100,000 reads all accounts again.
CREATE TRIGGER users_delete_is_noted AFTER DELETE ON users
BEGIN
    INSERT INTO account_changes (user_id) VALUES (OLD.id);
    DELETE FROM account_changes WHERE id <= (SELECT max(id) FROM account_changes) - 100000;
END;

CREATE TRIGGER users_update_is_noted AFTER UPDATE OF id ON users WHEN OLD.id <> NEW.id
BEGIN
    INSERT INTO account_changes (user_id) VALUES (OLD.id);
END;
