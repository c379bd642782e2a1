-- Endpoints that are sent events. How far each has got is in event_positions, as the consumer webhook:ID.
CREATE TABLE webhook_endpoints (
    id              UUID PRIMARY KEY,
    url             TEXT NOT NULL CONSTRAINT webhook_endpoints_url_check CHECK (char_length(url) <= 2000),
    -- Names of types, with commas between them; empty: all.
    types           TEXT NOT NULL,
    -- Of this sale alone; NULL: of all sales.
    flash_sale_id   BIGINT,
    max_batch       INTEGER NOT NULL,
    per_second      INTEGER NOT NULL,
    -- What signs deliveries: as text, since a signature needs it.
    secret          TEXT NOT NULL,
    previous_secret TEXT,
    previous_until  TIMESTAMPTZ,
    disabled_cause  TEXT,
    -- Failed tries in a row, and when the next one is due.
    failures        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TIMESTAMPTZ,
    deliveries      BIGINT NOT NULL DEFAULT 0,
    created_at      TIMESTAMPTZ NOT NULL,
    CONSTRAINT webhook_endpoints_previous_check CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);

-- The last 1,000 tries of each endpoint: a new one takes the place of the oldest.
CREATE TABLE webhook_deliveries (
    endpoint_id   UUID NOT NULL CONSTRAINT webhook_deliveries_endpoint_fkey REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    place         INTEGER NOT NULL,
    number        BIGINT NOT NULL,
    message_id    UUID NOT NULL,
    flash_sale_id BIGINT NOT NULL,
    first_seq     BIGINT NOT NULL,
    last_seq      BIGINT NOT NULL,
    attempted_at  TIMESTAMPTZ NOT NULL,
    duration_ms   BIGINT NOT NULL,
    -- Of the answer, if there was one.
    status        INTEGER,
    error         TEXT,
    PRIMARY KEY (endpoint_id, place)
);
