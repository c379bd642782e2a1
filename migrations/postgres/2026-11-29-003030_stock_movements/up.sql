-- Units on their way out of a sale. PENDING: the gate sets them aside, or has done so, and the sale's numbers are as before. When the
-- gate has said how many it took, the numbers are lowered and the row is closed, in one transaction.
CREATE TABLE stock_movements (
    id            UUID PRIMARY KEY,
    flash_sale_id BIGINT NOT NULL,
    mode          TEXT NOT NULL CONSTRAINT stock_movements_mode_check CHECK (mode IN ('EXACT', 'UP_TO')),
    requested     INTEGER NOT NULL CONSTRAINT stock_movements_requested_check CHECK (requested > 0),
    applied       INTEGER NOT NULL DEFAULT 0
        CONSTRAINT stock_movements_applied_check CHECK (applied BETWEEN 0 AND requested),
    state         TEXT NOT NULL DEFAULT 'PENDING'
        CONSTRAINT stock_movements_state_check CHECK (state IN ('PENDING', 'APPLIED', 'REFUSED')),
    -- The entry of the action log that asked for it.
    action_id     BIGINT NOT NULL CONSTRAINT stock_movements_action_id_key UNIQUE
        CONSTRAINT stock_movements_action_id_fkey REFERENCES admin_actions (id),
    requested_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    closed_at     TIMESTAMPTZ,
    CONSTRAINT stock_movements_applied_state_check CHECK ((state = 'APPLIED') = (applied > 0)),
    CONSTRAINT stock_movements_closed_at_check CHECK ((state = 'PENDING') = (closed_at IS NULL))
);
-- The workers ask for the PENDING ones twice a second.
CREATE INDEX stock_movements_pending_idx ON stock_movements (flash_sale_id) WHERE state = 'PENDING';
