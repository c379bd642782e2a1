//! A ledger in memory that has accounts alone, for tests of the code that calls it and of the code that gets its answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::DateTime;

use super::{Directory, DirectoryEngines};
use crate::{
    account_key::AccountKey,
    ids::UserId,
    lifecycle::Lifecycle,
    port::{
        Access, AccountChanges, AccountDirectory, AccountMarks, AccountPage, AccountPosition,
        AccountStore, ActionEntry, AdminError, CommittedOffsets, Credentials, EarlierReads,
        Erasure, ExternalAccount, ExternalIdentities, FoundAccount, GateError, LedgerError, Listed,
        LogEnds, LogError, NewUser, Offset, Partition, PasswordHashOutcome, PersonRecord,
        PersonalData, Registration, ResetHash, Role, Scopes, SecretHash, ServiceAccess,
        ServiceAccount, ServiceAccountChanges, ServiceAccounts, SessionRule, StoredUser,
    },
};

/// A directory that takes every account id for that of an account: [`Accounts`] finds an account for each.
pub(crate) fn directory(lifecycle: &Lifecycle, accounts: Arc<Accounts>) -> Arc<Directory> {
    let engines = DirectoryEngines {
        ledger: accounts,
        offsets: Arc::new(EmptyLog),
        gate: Arc::new(NoMark),
        log: Arc::new(EmptyLog),
        group: "workers".to_owned(),
    };
    Directory::without_memory(lifecycle, engines)
}

/// A log without records.
struct EmptyLog;

#[async_trait]
impl LogEnds for EmptyLog {
    fn name(&self) -> &'static str {
        "attempts"
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        Ok(BTreeMap::new())
    }
}

#[async_trait]
impl CommittedOffsets for EmptyLog {
    async fn committed_offsets(
        &self,
        _: &str,
        _: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        Ok(BTreeMap::new())
    }
}

/// A gate whose mark of account ids is always 0, like the gate in memory. No mark is needed: nothing here outlives the accounts.
struct NoMark;

#[async_trait]
impl AccountMarks for NoMark {
    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        Ok(Some(0))
    }

    async fn raise_account_mark(&self, _: i64) -> Result<(), GateError> {
        Ok(())
    }
}

/// Accounts in memory.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<Vec<NewUser>>);

/// The error of this ledger, above all of the methods that are not implemented.
fn broken<T, E: From<LedgerError>>() -> Result<T, E> {
    Err(LedgerError("only accounts here".to_owned()).into())
}

#[async_trait]
impl AccountDirectory for Accounts {
    async fn register(&self, user: &NewUser, _: i64) -> Result<Registration, LedgerError> {
        let mut accounts = self.0.lock().unwrap();
        let same = |one: &str, other: &str| AccountKey::of(one) == AccountKey::of(other);
        if accounts
            .iter()
            .any(|known| same(&known.username, &user.username))
        {
            return Ok(Registration::UsernameTaken);
        }
        if accounts.iter().any(|known| same(&known.email, &user.email)) {
            return Ok(Registration::EmailTaken);
        }
        accounts.push(user.clone());
        let id = i64::try_from(accounts.len()).ok().and_then(UserId::new);
        id.map(Registration::Registered).map_or_else(broken, Ok)
    }

    async fn continue_accounts_above(&self, _: UserId) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn account_changes(
        &self,
        _: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        let accounts = self.0.lock().unwrap();
        Ok(AccountChanges {
            earlier: EarlierReads::Valid,
            removed: Vec::new(),
            sessions: Vec::new(),
            position: AccountPosition {
                epoch: String::new(),
                read_before: 0,
                seen: std::collections::BTreeSet::new(),
                made_at: DateTime::UNIX_EPOCH,
            },
            reached: i64::try_from(accounts.len()).unwrap(),
        })
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        _: u32,
    ) -> Result<AccountPage, LedgerError> {
        let count = i64::try_from(self.0.lock().unwrap().len()).unwrap();
        let ids = (1..=count)
            .filter_map(UserId::new)
            .filter(|id| Some(*id) > after);
        Ok(AccountPage::of(ids.map(|id| (id, DateTime::UNIX_EPOCH))))
    }

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        // Every id is found, since tests make tokens for ids that were never registered.
        let found = |id: &UserId| FoundAccount {
            id: *id,
            made_at: DateTime::UNIX_EPOCH,
            sessions: SessionRule::default(),
        };
        Ok(ids.iter().map(found).collect())
    }
}

#[async_trait]
impl Credentials for Accounts {
    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        // PostgreSQL refuses a text with NUL, so this ledger does, too.
        if username.contains('\0') {
            return broken();
        }
        let accounts = self.0.lock().unwrap();
        let known = accounts
            .iter()
            .zip(1..)
            .find(|(known, _)| AccountKey::of(&known.username) == AccountKey::of(username));
        Ok(known.and_then(|(known, id)| {
            let (username, password_hash) = (known.username.clone(), known.password_hash.clone());
            Some(StoredUser {
                id: UserId::new(id)?,
                username,
                email: known.email.clone(),
                password_hash,
                role: Role::User,
                created_at: DateTime::UNIX_EPOCH,
                sessions: SessionRule::default(),
            })
        }))
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError> {
        let mut accounts = self.0.lock().unwrap();
        let index = usize::try_from(user.value() - 1).unwrap();
        let stored = accounts
            .get_mut(index)
            .filter(|account| account.password_hash == old);
        let Some(account) = stored else {
            return Ok(PasswordHashOutcome::Superseded);
        };
        new.clone_into(&mut account.password_hash);
        Ok(PasswordHashOutcome::Replaced)
    }
}

/// Not implemented: erasing is tested with the real ledgers, which store accounts.
#[async_trait]
impl PersonalData for Accounts {
    async fn person(&self, _: UserId) -> Result<Option<PersonRecord>, LedgerError> {
        broken()
    }

    async fn erase(&self, _: UserId, _: &ActionEntry) -> Result<Option<Erasure>, AdminError> {
        broken()
    }
}

/// Not implemented: external identities are tested with the real ledgers, which store them.
#[async_trait]
impl ExternalIdentities for Accounts {
    async fn find_external(
        &self,
        _: &str,
        _: &[String],
    ) -> Result<Vec<ExternalAccount>, LedgerError> {
        broken()
    }

    async fn add_external(
        &self,
        _: &str,
        _: &[String],
        _: i64,
    ) -> Result<Vec<ExternalAccount>, LedgerError> {
        broken()
    }
}

/// Not implemented: service accounts are tested with the real ledgers, which store them.
#[async_trait]
impl ServiceAccounts for Accounts {
    async fn service_account(&self, _: &str) -> Result<Option<ServiceAccount>, LedgerError> {
        broken()
    }

    async fn service_account_of(&self, _: UserId) -> Result<Option<ServiceAccount>, LedgerError> {
        broken()
    }

    async fn service_accounts(
        &self,
        _: Option<UserId>,
        _: u32,
    ) -> Result<Vec<ServiceAccount>, LedgerError> {
        broken()
    }
}

/// Not implemented, as above.
#[async_trait]
impl ServiceAccountChanges for Accounts {
    async fn add_service_account(
        &self,
        _: &NewUser,
        _: i64,
        _: (Scopes, SecretHash),
        _: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError> {
        broken()
    }

    async fn change_service_account(
        &self,
        _: UserId,
        _: ServiceAccess,
        _: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError> {
        broken()
    }
}

/// Not implemented: changes of accounts are tested with the real ledgers, which store them.
#[async_trait]
impl AccountStore for Accounts {
    async fn add_account(&self, _: &NewUser, _: Role, _: i64) -> Result<Registration, LedgerError> {
        broken()
    }

    async fn account(&self, _: UserId) -> Result<Option<StoredUser>, LedgerError> {
        broken()
    }

    async fn account_of_email(&self, _: &str) -> Result<Option<StoredUser>, LedgerError> {
        broken()
    }

    async fn list_accounts(
        &self,
        _: Listed,
        _: Option<UserId>,
        _: u32,
    ) -> Result<Vec<StoredUser>, LedgerError> {
        broken()
    }

    async fn set_role(&self, _: UserId, _: Role) -> Result<Option<SessionRule>, LedgerError> {
        broken()
    }

    async fn set_access(&self, _: UserId, _: Access) -> Result<Option<SessionRule>, LedgerError> {
        broken()
    }

    async fn end_sessions(&self, _: UserId, _: i64) -> Result<Option<SessionRule>, LedgerError> {
        broken()
    }

    async fn set_password(
        &self,
        _: UserId,
        _: Option<&str>,
        _: &str,
        _: i64,
    ) -> Result<Option<SessionRule>, LedgerError> {
        broken()
    }

    async fn store_reset(&self, _: UserId, _: ResetHash, _: Duration) -> Result<(), LedgerError> {
        broken()
    }

    async fn reset_owner(&self, _: ResetHash) -> Result<Option<StoredUser>, LedgerError> {
        broken()
    }

    async fn redeem_reset(
        &self,
        _: ResetHash,
        _: &str,
        _: i64,
    ) -> Result<Option<(UserId, SessionRule)>, LedgerError> {
        broken()
    }
}
