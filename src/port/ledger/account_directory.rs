//! Making accounts, and reading which ones exist.

use async_trait::async_trait;

use crate::{
    ids::UserId,
    port::{
        AccountChanges, AccountPage, AccountPosition, FoundAccount, KeyPage, LedgerError,
        SessionRule,
    },
};

/// An account to be made. All text is free of NUL.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub username: String,
    pub email: String,
    /// PHC string.
    pub password_hash: String,
    pub full_name: Option<String>,
}

/// What came of making an account. Usernames and emails are unique by their
/// [`AccountKey`](crate::account_key::AccountKey).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Registered(UserId),
    UsernameTaken,
    EmailTaken,
}

/// The accounts and their changes, for nodes that keep them in memory.
#[async_trait]
pub trait AccountDirectory: Send + Sync {
    /// Makes an account with the role `user`. Its id is higher than `above` and than every id that was handed out before, in
    /// this state of the ledger, also of accounts that were deleted.
    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError>;

    /// Sees to it that ids of new accounts are higher than `id`.
    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError>;

    /// What became of accounts since a position; with `None`, the position of now.
    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError>;

    /// The accounts with the lowest ids above `after`, at most `limit`: fewer only at the end.
    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError>;

    /// Those of these accounts that exist.
    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError>;

    /// The accounts with the lowest ids above `after` that are disabled, or whose tokens were ended after `since` (in seconds since
    /// 1970), at most `limit`. A ledger in which nobody ends sessions has none.
    async fn ended_sessions(
        &self,
        _after: Option<UserId>,
        _since: i64,
        _limit: u32,
    ) -> Result<Vec<(UserId, SessionRule)>, LedgerError> {
        Ok(Vec::new())
    }

    /// Computes the keys of accounts that have none, of those with the lowest ids above `after`, at most `limit`: of accounts
    /// made by hand, or by a version without keys. A ledger that computes every key when it makes an account has none.
    async fn set_missing_keys(&self, _after: i64, _limit: u32) -> Result<KeyPage, LedgerError> {
        Ok(KeyPage::default())
    }
}
