//! Service accounts: programs of the shop, with a client secret in the place of a password.

use async_trait::async_trait;

use crate::{
    ids::UserId,
    port::{LedgerError, Scopes, SessionRule, StoredUser},
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

    /// Sets the scopes of an account with the role `service` and, if given, its secret, and ends its tokens. `None` if there is no
    /// such account, or if it has no secret and gets none.
    async fn set_service_access(
        &self,
        id: UserId,
        scopes: Scopes,
        secret: Option<SecretHash>,
    ) -> Result<Option<SessionRule>, LedgerError>;
}
