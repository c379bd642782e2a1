//! What is stored of a person, and taking it out.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ids::UserId,
    port::{ActionEntry, AdminError, LedgerError, Scopes, SessionRule, StoredUser},
};

/// The text in the place of username and address of an account that was erased.
#[must_use]
pub fn erased_name(id: UserId) -> String {
    format!("erased:{id}")
}

/// Who an account belongs to at the shop's issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIdentity {
    pub issuer: String,
    pub subject: String,
    pub created_at: DateTime<Utc>,
}

/// An account with all that is stored of its person besides attempts, orders and the action log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRecord {
    pub user: StoredUser,
    pub full_name: Option<String>,
    pub identity: Option<ExternalIdentity>,
    /// Of a service account.
    pub scopes: Option<Scopes>,
}

/// What an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// Which tokens of the account count from then on: none.
    pub rule: SessionRule,
    /// Entries of the action log that said something of the person.
    pub log_entries: u64,
    /// False: the account had been erased before, and nothing was done.
    pub is_new: bool,
}

/// The personal data of accounts.
#[async_trait]
pub trait PersonalData: Send + Sync {
    async fn person(&self, id: UserId) -> Result<Option<PersonRecord>, LedgerError>;

    /// Takes a person out of everything that this ledger stores, and notes that in the action log, in one transaction. The account
    /// stays under its id, disabled and without a name, since orders and attempts refer to it. `None` if there is no such account.
    async fn erase(&self, id: UserId, entry: &ActionEntry) -> Result<Option<Erasure>, AdminError>;
}
