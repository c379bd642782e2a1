//! The ledger in PostgreSQL. This file implements the port; the submodules contain the statements.
//!
//! Diesel is used only here and in the embedded engine. This engine does not decide about purchases: `rules::settlement` has
//! the rules of settling, and the schema (`migrations/`) enforces the promises.

mod account_store;
mod accounts;
mod admin;
mod admission;
mod audit;
mod connect;
mod crowd;
mod ended;
mod failure;
mod identity;
pub mod import;
pub mod inspect;
mod keys;
mod leases;
pub mod migrate;
pub mod original;
mod outcomes;
mod owners;
pub mod rights;
mod sales;
mod schema;
pub mod seed;
mod session;
mod settle;
mod transport;
mod unnamed;
mod users;
mod watch;

pub use connect::ConnectError;
pub use crowd::Crowd;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use self::session::SessionPool;
use crate::{
    config::PostgresConfig,
    ids::{AttemptId, LedgerId, SaleId, UserId},
    port::{
        AccountChanges, AccountPage, AccountPosition, ActionLogCheck, DeadLetterDecision,
        EndedOrder, FoundAccount, KeyPage, Lease, Ledger, LedgerError, Member, Movement,
        MovementId, NewUser, Offset, Outcome, Partition, PasswordHashOutcome, Position,
        Registration, Role, SaleListing, SaleSnapshot, SeekOutcome, SessionRule, SettleBatch,
        SettleError, SettledAttempt, Settlement, StoredUser,
    },
};

/// A hand-written statement for PostgreSQL.
type Prepared = super::prepared::Prepared<diesel::pg::Pg>;

/// The ledger in PostgreSQL. Clones share one pool of connections.
#[derive(Clone)]
pub struct PostgresLedger {
    id: LedgerId,
    pool: SessionPool,
}

impl PostgresLedger {
    /// Connects once, to check the server, the login, the database and its migrations. Connecting takes `pool_timeout` at most,
    /// and each statement `statement_timeout`.
    pub async fn connect(config: &PostgresConfig) -> Result<Self, ConnectError> {
        Self::connect_for(Use::Some, config).await
    }

    /// The same, for `serve` and `work`. Fails if the user lacks one of the rights that they need at some time: without it they would
    /// start, and fail later.
    pub async fn connect_with_rights(config: &PostgresConfig) -> Result<Self, ConnectError> {
        Self::connect_for(Use::All, config).await
    }

    async fn connect_for(needed: Use, config: &PostgresConfig) -> Result<Self, ConnectError> {
        let mut session = connect::open(config, &config.database, config.statement_timeout).await?;
        connect::refuse_shared_sessions(config, &config.database).await?;
        migrate::check(config, &mut session).await?;
        match needed {
            Use::All => rights::check(config, &mut session).await?,
            Use::Some => {}
        }
        let id = identity::read(&mut session)
            .await
            .map_err(|error| ConnectError::Refused {
                server: config.server(),
                cause: format!("the table ledger_identity cannot be read: {error}"),
            })?;
        let pool = SessionPool::new(config, id).map_err(|error| ConnectError::Refused {
            server: config.server(),
            cause: error.to_string(),
        })?;
        Ok(Self { id, pool })
    }
}

/// How much of the ledger a process uses.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// What one command needs.
    Some,
    All,
}

impl From<diesel::result::Error> for LedgerError {
    fn from(error: diesel::result::Error) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    fn id(&self) -> LedgerId {
        self.id
    }

    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        Ok(users::register(&mut *self.pool.take().await?, user, Role::User, above).await?)
    }

    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError> {
        Ok(accounts::continue_above(&mut *self.pool.take().await?, id.value()).await?)
    }

    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        Ok(admission::forget(&mut *self.pool.take().await?).await?)
    }

    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        Ok(accounts::changes(&mut *self.pool.take().await?, since).await?)
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        Ok(accounts::page(&mut *self.pool.take().await?, after, limit).await?)
    }

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        Ok(accounts::find(&mut *self.pool.take().await?, ids).await?)
    }

    async fn ended_sessions(
        &self,
        after: Option<UserId>,
        since: i64,
        limit: u32,
    ) -> Result<Vec<(UserId, SessionRule)>, LedgerError> {
        Ok(accounts::ended(&mut *self.pool.take().await?, after, since, limit).await?)
    }

    async fn set_missing_keys(&self, after: i64, limit: u32) -> Result<KeyPage, LedgerError> {
        Ok(keys::set_missing(&mut *self.pool.take().await?, after, limit).await?)
    }

    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        Ok(users::find(&mut *self.pool.take().await?, username).await?)
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError> {
        Ok(users::replace_hash(&mut *self.pool.take().await?, user, old, new).await?)
    }

    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        Ok(sales::listings(&mut *self.pool.take().await?, since).await?)
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let mut session = self.pool.take().await?;
        let code = session.code();
        settle::settle(
            &mut session,
            &code,
            self.pool.transaction_settings(),
            batches,
        )
        .await
    }

    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        Ok(outcomes::read(&mut *self.pool.take().await?, attempts).await?)
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        Ok(sales::snapshot(&mut *self.pool.take().await?, sale).await?)
    }

    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        Ok(ended::to_apply(&mut *self.pool.take().await?, sales, limit).await?)
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        Ok(ended::note(&mut *self.pool.take().await?, orders).await?)
    }

    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        Ok(admin::movements::pending(&mut *self.pool.take().await?, sales).await?)
    }

    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        Ok(admin::movements::unlisted(&mut *self.pool.take().await?, since).await?)
    }

    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        Ok(admin::movements::find(&mut *self.pool.take().await?, ids).await?)
    }

    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        self.close_movement(movement, taken).await
    }

    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        Ok(leases::heartbeat(&mut *self.pool.take().await?, member, partitions, ttl).await?)
    }

    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError> {
        Ok(leases::release(&mut *self.pool.take().await?, member, partitions).await?)
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        Ok(leases::leave(&mut *self.pool.take().await?, member).await?)
    }

    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        Ok(leases::committed_offsets(&mut *self.pool.take().await?, group, topic).await?)
    }

    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError> {
        Ok(leases::seek(&mut *self.pool.take().await?, position, from, to).await?)
    }

    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        Ok(audit::settled(&mut *self.pool.take().await?, after, limit).await?)
    }

    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError> {
        Ok(audit::note(&mut *self.pool.take().await?, log, decision).await?)
    }

    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        Ok(audit::decisions(&mut *self.pool.take().await?, log).await?)
    }

    async fn verify_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        self.check_actions().await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        // Taking a session from the pool proves that its server accepts writes.
        self.pool.take().await.map(drop)
    }
}
