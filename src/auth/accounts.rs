//! A ledger of accounts alone, for tests of what happens before and behind it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Directory, DirectoryEngines};
use crate::{
    account_key::AccountKey,
    clock::{Clock, SystemClock},
    engine::model::{ModelGate, ModelLog},
    ids::{AttemptId, LedgerId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{
        Access, AccountChanges, AccountPage, AccountPosition, AccountStore, DeadLetterDecision,
        FoundAccount, Lease, Ledger, LedgerError, Listed, Member, Movement, MovementId, NewUser,
        Offset, Outcome, Partition, PasswordHashOutcome, Position, Registration, ResetHash, Role,
        SaleListing, SaleSnapshot, SeekOutcome, SessionRule, SettleBatch, SettleError,
        SettledAttempt, Settlement, StoredUser,
    },
};

/// A directory in which every account exists.
pub(crate) fn directory(lifecycle: &Lifecycle, ledger: Arc<dyn Ledger>) -> Arc<Directory> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let engines = DirectoryEngines {
        ledger,
        gate: Arc::new(ModelGate::server(clock)),
        log: Arc::new(ModelLog::new(1)),
        group: "workers".to_owned(),
    };
    Directory::without_memory(lifecycle, engines)
}

/// Accounts in memory. All other calls answer that the ledger is broken.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<Vec<NewUser>>);

fn broken<T, E: From<LedgerError>>() -> Result<T, E> {
    Err(LedgerError("only accounts here".to_owned()).into())
}

#[async_trait]
impl Ledger for Accounts {
    fn id(&self) -> LedgerId {
        LedgerId::NONE
    }

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

    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        broken()
    }

    async fn account_changes(
        &self,
        _: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        let accounts = self.0.lock().unwrap();
        Ok(AccountChanges {
            restart: false,
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
        // Tokens of tests name anybody.
        let found = |id: &UserId| FoundAccount {
            id: *id,
            made_at: DateTime::UNIX_EPOCH,
            sessions: SessionRule::default(),
        };
        Ok(ids.iter().map(found).collect())
    }

    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        // As PostgreSQL does.
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

    async fn sales(&self, _: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        broken()
    }

    async fn settle(&self, _: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        broken()
    }

    async fn outcomes(&self, _: &[AttemptId]) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        broken()
    }

    async fn snapshot(&self, _: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        broken()
    }

    async fn ended_orders(
        &self,
        _: &[SaleId],
        _: u32,
    ) -> Result<Vec<crate::port::EndedOrder>, LedgerError> {
        broken()
    }

    async fn note_ended(&self, _: &[crate::port::EndedOrder]) -> Result<(), LedgerError> {
        broken()
    }

    async fn pending_movements(&self, _: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        broken()
    }

    async fn unlisted_movements(&self, _: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        broken()
    }

    async fn movements(&self, _: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        broken()
    }

    async fn close_withdrawal(
        &self,
        _: MovementId,
        _: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        broken()
    }

    async fn heartbeat(
        &self,
        _: &Member,
        _: i32,
        _: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        broken()
    }

    async fn release(&self, _: &Member, _: &[Partition]) -> Result<(), LedgerError> {
        broken()
    }

    async fn leave(&self, _: &Member) -> Result<(), LedgerError> {
        broken()
    }

    async fn committed_offsets(
        &self,
        _: &str,
        _: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        Ok(BTreeMap::new())
    }

    async fn seek(&self, _: &Position, _: Offset, _: Offset) -> Result<SeekOutcome, LedgerError> {
        broken()
    }

    async fn settled(
        &self,
        _: Option<AttemptId>,
        _: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        broken()
    }

    async fn note_decision(&self, _: &str, _: &DeadLetterDecision) -> Result<(), LedgerError> {
        broken()
    }

    async fn decisions(&self, _: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        broken()
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        broken()
    }
}

/// Changes of accounts are tested on the ledgers that keep them.
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
