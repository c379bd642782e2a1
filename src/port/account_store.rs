//! Changes of accounts after they were made: roles, disabling, passwords, and the tokens that end with them.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Access, ExternalIdentities, LedgerError, NewUser, PersonalData, Registration, Role,
    ServiceAccountChanges, ServiceAccounts, SessionRule, StoredUser,
};
use crate::ids::UserId;

/// SHA-256 of a one-time token with which a password is reset. The token itself is stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetHash(pub [u8; 32]);

/// Which accounts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    All,
    /// Those with another role than `user`.
    Staff,
}

/// Changes of accounts. Implemented by every ledger that keeps accounts durably. A change answers with the rule that holds from
/// then on for the tokens of the account, or `None` if there is no such account, or not as the caller says.
///
/// Changes that end tokens take `issued_until`, in seconds since 1970: tokens issued up to then, and up to now by the ledger's
/// clock, count no more.
#[async_trait]
pub trait AccountStore:
    ServiceAccounts + ServiceAccountChanges + ExternalIdentities + PersonalData
{
    /// Makes an account with a role, as [`register`](super::AccountDirectory::register) makes a shopper's.
    async fn add_account(
        &self,
        user: &NewUser,
        role: Role,
        above: i64,
    ) -> Result<Registration, LedgerError>;

    async fn account(&self, id: UserId) -> Result<Option<StoredUser>, LedgerError>;

    /// The account whose e-mail address has the key of this one. An account without a key is found by its exact address.
    async fn account_of_email(&self, email: &str) -> Result<Option<StoredUser>, LedgerError>;

    /// The accounts with the lowest ids above `after`, at most `limit`.
    async fn list_accounts(
        &self,
        listed: Listed,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredUser>, LedgerError>;

    /// Gives an account another role. If that is a change, it ends the account's tokens.
    async fn set_role(&self, id: UserId, role: Role) -> Result<Option<SessionRule>, LedgerError>;

    /// Disables or enables an account. Disabling ends its tokens and takes its reset token away.
    async fn set_access(
        &self,
        id: UserId,
        access: Access,
    ) -> Result<Option<SessionRule>, LedgerError>;

    /// Ends all tokens of an account.
    async fn end_sessions(
        &self,
        id: UserId,
        issued_until: i64,
    ) -> Result<Option<SessionRule>, LedgerError>;

    /// Sets another password, ends all tokens of the account and takes its reset token away. With `old`, only if the account still
    /// has that hash.
    async fn set_password(
        &self,
        id: UserId,
        old: Option<&str>,
        new: &str,
        issued_until: i64,
    ) -> Result<Option<SessionRule>, LedgerError>;

    /// Stores a reset token, in the place of an earlier one of the account.
    async fn store_reset(
        &self,
        id: UserId,
        token: ResetHash,
        lifetime: Duration,
    ) -> Result<(), LedgerError>;

    /// The account of a reset token that has not expired.
    async fn reset_owner(&self, token: ResetHash) -> Result<Option<StoredUser>, LedgerError>;

    /// Uses a reset token up: sets the password of its account and ends all tokens of it. `None` if the token is unknown, used or
    /// expired, or its account is disabled.
    async fn redeem_reset(
        &self,
        token: ResetHash,
        password_hash: &str,
        issued_until: i64,
    ) -> Result<Option<(UserId, SessionRule)>, LedgerError>;
}
