//! Service accounts: programs of the shop, with a client secret in the place of a password.

use async_trait::async_trait;

use crate::{
    ids::UserId,
    port::{ActionEntry, AdminError, LedgerError, NewUser, Scopes, StoredUser},
};

/// What is stored for an account that has no password: no password fits it.
pub const NO_PASSWORD: &str = "!";

/// SHA-256 of a client secret. The secret itself is stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

/// An account with the role `service` and what it proves itself with. Its username is the client id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    pub user: StoredUser,
    pub scopes: Scopes,
    pub secret: SecretHash,
}

/// Accounts of programs.
#[async_trait]
pub trait ServiceAccounts: Send + Sync {
    /// The service account with this client id, which is found as a username is.
    async fn service_account(&self, client_id: &str)
    -> Result<Option<ServiceAccount>, LedgerError>;

    async fn service_account_of(&self, id: UserId) -> Result<Option<ServiceAccount>, LedgerError>;

    /// The service accounts with the lowest ids above `after`, at most `limit`.
    async fn service_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<ServiceAccount>, LedgerError>;
}

/// What of a service account is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAccess {
    Scopes(Scopes),
    /// An account that has no secret yet gets its first one, and has no scopes then.
    Secret(SecretHash),
}

/// Changes of service accounts by operators, each one transaction with its entry in the action log.
#[async_trait]
pub trait ServiceAccountChanges: Send + Sync {
    /// Makes an account with the role `service`, an id above this one, these scopes and this secret. `None`: its username or e-mail
    /// address is taken.
    async fn add_service_account(
        &self,
        user: &NewUser,
        above: i64,
        access: (Scopes, SecretHash),
        entry: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError>;

    /// Changes an account with the role `service`, and ends its tokens. `None` if there is no such account, or if it gets other scopes
    /// and has no secret.
    async fn change_service_account(
        &self,
        id: UserId,
        access: ServiceAccess,
        entry: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError>;
}
