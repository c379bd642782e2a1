//! Accounts, passwords and tokens.
