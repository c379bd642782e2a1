//! The ledger in the data file: the implementation of the port, call by call; what each does is in the modules.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};

use super::{
    accounts,
    admin::{log, movements},
    admission, audit, ended, keys, leases, outcomes, sales, settle,
    store::{ReadError, Store, WriteError},
    users,
    values::millis,
};
use crate::{
    clock::Clock,
    ids::{AttemptId, LedgerId, SaleId, UserId},
    port::{
        AccountChanges, AccountPage, AccountPosition, ActionLogCheck, DeadLetterDecision,
        EndedOrder, FoundAccount, KeyPage, Lease, Ledger, LedgerError, Member, Movement,
        MovementId, NewUser, Offset, Outcome, Partition, PasswordHashOutcome, Position,
        Registration, Role, SaleListing, SaleSnapshot, SeekOutcome, SessionRule, SettleBatch,
        SettleError, SettledAttempt, Settlement, StoredUser,
    },
};

/// The ledger in the data file.
pub struct SqliteLedger {
    id: LedgerId,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a result can be read.
    result_ttl: Duration,
}

impl SqliteLedger {
    pub(super) fn new(
        id: LedgerId,
        store: Store,
        clock: Arc<dyn Clock>,
        result_ttl: Duration,
    ) -> Self {
        Self {
            id,
            store,
            clock,
            result_ttl,
        }
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let written = self.store.write(work).await;
        written.map_err(|error| LedgerError(error.to_string()))
    }

    /// The time `duration` after now, in milliseconds since the epoch.
    fn millis_after_now(&self, duration: Duration) -> i64 {
        millis(self.clock.now())
            .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

impl From<ReadError> for LedgerError {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    fn id(&self) -> LedgerId {
        self.id
    }

    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        let user = user.clone();
        self.write(move |conn| users::register(conn, &user, Role::User, above))
            .await
    }

    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError> {
        self.write(move |conn| accounts::continue_above(conn, id.value()))
            .await
    }

    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        self.write(admission::forget).await
    }

    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        let (since, now) = (since.map(|position| position.read_before), self.clock.now());
        Ok(self
            .store
            .read(move |conn| accounts::changes(conn, since, now))
            .await?)
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        Ok(self
            .store
            .read(move |conn| accounts::page(conn, after, limit))
            .await?)
    }

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        let ids = ids.to_vec();
        Ok(self
            .store
            .read(move |conn| accounts::find(conn, &ids))
            .await?)
    }

    async fn ended_sessions(
        &self,
        after: Option<UserId>,
        since: i64,
        limit: u32,
    ) -> Result<Vec<(UserId, SessionRule)>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| accounts::ended(conn, after, since, limit))
            .await?)
    }

    async fn set_missing_keys(&self, after: i64, limit: u32) -> Result<KeyPage, LedgerError> {
        self.write(move |conn| keys::set_missing(conn, after, limit))
            .await
    }

    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        let username = username.to_owned();
        Ok(self
            .store
            .read(move |conn| users::find(conn, &username))
            .await?)
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.write(move |conn| users::replace_hash(conn, user, &old, &new))
            .await
    }

    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| sales::listings(conn, since))
            .await?)
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let batches = batches.to_vec();
        let results_expire_at = self.millis_after_now(self.result_ttl);
        let work =
            move |conn: &mut SqliteConnection| settle::settle(conn, &batches, results_expire_at);
        match self.store.write(work).await {
            Ok(settlements) => Ok(settlements),
            Err(WriteError::Work(error)) => Err(error),
            Err(WriteError::NotWritten(cause) | WriteError::Unknown(cause)) => {
                Err(LedgerError(cause).into())
            }
        }
    }

    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        let attempts = attempts.to_vec();
        Ok(self
            .store
            .read(move |conn| outcomes::read(conn, &attempts))
            .await?)
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| sales::snapshot(conn, sale))
            .await?)
    }

    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let sales = sales.to_vec();
        Ok(self
            .store
            .read(move |conn| ended::to_apply(conn, &sales, limit))
            .await?)
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        let (orders, now) = (orders.to_vec(), millis(self.clock.now()));
        self.write(move |conn| ended::note(conn, &orders, now))
            .await
    }

    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        let sales = sales.to_vec();
        Ok(self
            .store
            .read(move |conn| movements::pending(conn, &sales))
            .await?)
    }

    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| movements::unlisted(conn, since))
            .await?)
    }

    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        let ids = ids.to_vec();
        Ok(self
            .store
            .read(move |conn| {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(movements::find(conn, id)?);
                }
                Ok(found)
            })
            .await?)
    }

    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        let now = self.clock.now();
        self.write(move |conn| movements::close(conn, movement, taken, now))
            .await
    }

    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        let (member, now, until) = (
            member.clone(),
            millis(self.clock.now()),
            self.millis_after_now(ttl),
        );
        self.write(move |conn| leases::heartbeat(conn, &member, partitions, now, until))
            .await
    }

    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError> {
        let (member, partitions) = (member.clone(), partitions.to_vec());
        self.write(move |conn| leases::release(conn, &member, Some(&partitions)))
            .await
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        let member = member.clone();
        self.write(move |conn| leases::leave(conn, &member)).await
    }

    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(self
            .store
            .read(move |conn| leases::committed_offsets(conn, &group, &topic))
            .await?)
    }

    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError> {
        let position = position.clone();
        self.write(move |conn| leases::seek(conn, &position, from, to))
            .await
    }

    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| audit::settled(conn, after, limit))
            .await?)
    }

    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError> {
        let (log, decision) = (log.to_owned(), decision.clone());
        self.write(move |conn| audit::note(conn, &log, &decision))
            .await
    }

    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        let log = log.to_owned();
        Ok(self
            .store
            .read(move |conn| audit::decisions(conn, &log))
            .await?)
    }

    async fn verify_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        Ok(self.store.read(log::verify).await?)
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        // An empty transaction: nothing is flushed, but the thread that writes must answer.
        self.write(|_| Ok(())).await
    }
}
