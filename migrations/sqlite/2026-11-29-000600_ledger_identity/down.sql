DROP TABLE ledger_identity;
