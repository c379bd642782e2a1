//! Why registering or logging in did not succeed.

use super::{AccountRefusal, Invalid, PasswordError, TokenError};
use crate::{limit::TooMany, port::LedgerError};

/// Why registering, logging in or changing a password did not succeed.
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
    /// The password is right, and the account is disabled. Nobody is told.
    #[error("the account is disabled")]
    Disabled,
    /// The password is right, everybody knows it, and the account may do more than a shopper's. Nobody is told.
    #[error("the password is one that everybody knows")]
    KnownPassword,
    #[error("the reset token is unknown, used or expired")]
    ResetTokenInvalid,
    /// The client id is unknown, the secret is wrong, or the account is disabled. The answer does not say which.
    #[error("the client id or the client secret is wrong")]
    InvalidClient,
    /// A token of the shop's issuer is not good.
    #[error(transparent)]
    TokenRefused(TokenError),
    #[error("no keys of the issuer are known")]
    IssuerAway,
    /// Shoppers can neither register nor log in here.
    #[error("accounts of shoppers are kept by the shop")]
    LocalAccountsOff,
    #[error("the account does not have a scope that was asked for")]
    InvalidScope,
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

impl AuthError {
    /// Whether a login that ended so counts as one with a wrong password.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WrongCredentials
                | Self::Disabled
                | Self::KnownPassword
                | Self::ResetTokenInvalid
                | Self::InvalidClient
                | Self::LocalAccountsOff
        )
    }
}
