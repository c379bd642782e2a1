//! All three ports in one process: the gate in memory, log and ledger in one SQLite file.
