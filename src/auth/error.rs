//! Why registering or logging in did not succeed.

use super::{AccountRefusal, Invalid, PasswordError, TokenError};
use crate::{limit::TooMany, port::LedgerError};

/// Why registering or logging in did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("Username already exists")]
    UsernameTaken,
    #[error("Email already exists")]
    EmailTaken,
    /// No such account, or not its password: nobody is told which.
    #[error("Invalid credentials")]
    WrongCredentials,
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("signing a token: {0}")]
    Signing(#[source] TokenError),
    /// Whether an id is free for a new account is not known now.
    #[error(transparent)]
    Account(#[from] AccountRefusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
