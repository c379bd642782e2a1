-- Which ledger this is. Sale and user numbers of two databases coincide; this id tells the gate, the log and the tokens of
-- another database from those of this one. A restored backup keeps it.
CREATE TABLE ledger_identity (
    -- One row and no more.
    is_only_row BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT ledger_identity_one_row_check CHECK (is_only_row),
    ledger_id   UUID NOT NULL DEFAULT gen_random_uuid(),
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
INSERT INTO ledger_identity DEFAULT VALUES;
