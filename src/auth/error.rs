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
    /// There is no such account, or the password is wrong. The answer does not say which.
    #[error("Invalid credentials")]
    WrongCredentials,
    /// The password is right, but the account is disabled. The answer does not say so.
    #[error("the account is disabled")]
    Disabled,
    /// The password is right, but everybody knows it and the account has more rights than a shopper's. The answer does not say so.
    #[error("the password is one that everybody knows")]
    KnownPassword,
    #[error("the reset token is unknown, used or expired")]
    ResetTokenInvalid,
    /// The client id is unknown, the secret is wrong, or the account is disabled. The answer does not say which.
    #[error("the client id or the client secret is wrong")]
    InvalidClient,
    /// A token of the shop's issuer is not valid.
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
    /// It is not known at the moment which ids are free for new accounts, or the account of a token is refused.
    #[error(transparent)]
    Account(#[from] AccountRefusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl AuthError {
    /// True if a login with this error counts as one with a wrong password.
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
