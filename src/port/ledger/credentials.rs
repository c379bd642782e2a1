//! Accounts as login needs them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ids::UserId,
    port::{LedgerError, Role, SessionRule},
};

/// An account as login needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    pub id: UserId,
    pub username: String,
    pub email: String,
    pub password_hash: String,
    pub role: Role,
    /// By the ledger's clock.
    pub created_at: DateTime<Utc>,
    pub sessions: SessionRule,
}

/// The answer to replacing a password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordHashOutcome {
    Replaced,
    /// The account has another hash by now, or is gone. Nothing was changed.
    Superseded,
}

/// Usernames and password hashes.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The account whose username has the key of this one. An account without a key, since an older one has it, is found by its
    /// exact username.
    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError>;

    /// Puts another password hash in the place of this one.
    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError>;
}
