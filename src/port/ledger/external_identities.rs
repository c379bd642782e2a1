//! External identities: which account belongs to a subject of the shop's issuer.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ids::UserId,
    port::{LedgerError, NO_PASSWORD, Role, SessionRule, StoredUser},
};

/// An account that was made for a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub subject: String,
    pub user: UserId,
    /// By the ledger's clock.
    pub created_at: DateTime<Utc>,
    pub sessions: SessionRule,
}

/// The text in the place of username and address of an account that has neither. Nobody can register it, and nobody can log in with
/// it.
#[must_use]
pub fn external_name(id: UserId) -> String {
    format!("external:{id}")
}

impl From<ExternalAccount> for StoredUser {
    fn from(account: ExternalAccount) -> Self {
        let name = external_name(account.user);
        Self {
            id: account.user,
            username: name.clone(),
            email: name,
            password_hash: NO_PASSWORD.to_owned(),
            role: Role::User,
            created_at: account.created_at,
            sessions: account.sessions,
        }
    }
}

/// Accounts of an issuer's subjects. A subject has one account, and an account one subject.
#[async_trait]
pub trait ExternalIdentities: Send + Sync {
    /// The accounts of those of these subjects that have one, in any order.
    async fn find_external(
        &self,
        issuer: &str,
        subjects: &[String],
    ) -> Result<Vec<ExternalAccount>, LedgerError>;

    /// Makes accounts with the role `user` for those of these subjects that have none, with ids as
    /// [`register`](super::AccountDirectory::register) gives them. Of two who make the same at once, one does. The subjects are sorted
    /// and distinct. Answers with the accounts of all of them, in any order.
    async fn add_external(
        &self,
        issuer: &str,
        subjects: &[String],
        above: i64,
    ) -> Result<Vec<ExternalAccount>, LedgerError>;
}
