-- Endpoints that are sent events. How far each has got is in event_positions, as the consumer webhook:ID.
CREATE TABLE webhook_endpoints (
    id              TEXT PRIMARY KEY,
    url             TEXT NOT NULL CONSTRAINT webhook_endpoints_url_check CHECK (length(url) <= 2000),
    -- Names of types, with commas between them; empty: all.
    types           TEXT NOT NULL,
    -- Of this sale alone; NULL: of all sales.
    flash_sale_id   INTEGER,
    max_batch       INTEGER NOT NULL,
    per_second      INTEGER NOT NULL,
    -- What signs deliveries: as text, since a signature needs it.
    secret          TEXT NOT NULL,
    previous_secret TEXT,
    previous_until  INTEGER,
    disabled_cause  TEXT,
    -- Failed tries in a row, and when the next one is due.
    failures        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    deliveries      INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    CONSTRAINT webhook_endpoints_previous_check CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
) STRICT, WITHOUT ROWID;

-- The last 1,000 tries of each endpoint: a new one takes the place of the oldest.
CREATE TABLE webhook_deliveries (
    endpoint_id   TEXT NOT NULL CONSTRAINT webhook_deliveries_endpoint_fkey REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    place         INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    message_id    TEXT NOT NULL,
    flash_sale_id INTEGER NOT NULL,
    first_seq     INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL,
    attempted_at  INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL,
    -- Of the answer, if there was one.
    status        INTEGER,
    error         TEXT,
    PRIMARY KEY (endpoint_id, place)
) STRICT, WITHOUT ROWID;
