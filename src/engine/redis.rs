//! The stock gate on Redis or Redis Cluster: each decision is one Lua script on the keys of one sale.
//!
//! This file implements the port. `connection` sends commands to the server or the cluster, over `link`, `cluster` and
//! `sentinel`, which use `session` and `client`. `failure` classifies errors, `rights` checks the user's permissions, `keys`
//! defines the keys and the format of their values, `scripts` holds the Lua.
//!
//! The operations, one file a subject: `hold` reserves and releases units, `settle` records the ledger's decisions, `load`
//! opens and closes sales, `change` applies what operators change of an open sale, `results` reads and writes shoppers' results,
//! `read` reads the state of a sale, `announcements` tells API nodes of results as they are recorded.
//!
//! Only this module and its submodules use fred.

mod accounts;
mod announcements;
mod change;
mod client;
mod cluster;
mod connection;
mod failure;
mod hold;
pub mod inspect;
mod keys;
mod link;
mod load;
mod read;
mod reply;
mod results;
mod rights;
mod sale_call;
mod scripts;
mod sentinel;
mod session;
mod settle;

pub use client::ConnectError;
pub use rights::rule as acl_rule;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    config::RedisConfig,
    ids::{LedgerId, ProductId, SaleId, UserId},
    port::{
        AnnouncementStream, ClaimOutcome, CloseReason, CloseRequest, EndOrdersOutcome, GateError,
        GateStatus, HeldUnit, Holder, LoadStart, LoadStep, LoadToken, Movement, MovementId,
        MovementMode, Outcome, PendingEntry, PurchaseResult, ReleaseOutcome, ReserveOutcome,
        ResultAnnouncements, ResultEntry, ResultQuery, SaleTerms, Settlement, ShopperResult,
        StockGate, TermsOutcome, UnloadOutcome, WithdrawOutcome,
    },
};
use connection::Connection;

/// The gate. All callers share one connection (on a cluster, one to each node), which reconnects by itself.
pub struct RedisGate {
    connection: Connection,
    /// How long a stored result can be read.
    result_ttl: Duration,
    /// The ledger whose sales the gate holds.
    ledger: LedgerId,
}

impl RedisGate {
    /// Connects, in one try with a time limit. From then on the gate reconnects by itself; while it is disconnected, its
    /// methods fail immediately.
    pub async fn connect(config: &RedisConfig, result_ttl: Duration) -> Result<Self, ConnectError> {
        let connection = Box::pin(Connection::open(config)).await?;
        Ok(Self {
            connection,
            result_ttl,
            ledger: LedgerId::NONE,
        })
    }

    /// The same gate, for the sales of the given ledger. Every process that reserves, loads or records calls it with
    /// [`Ledger::id`].
    ///
    /// [`Ledger::id`]: crate::port::Ledger::id
    #[must_use]
    pub fn of_ledger(self, ledger: LedgerId) -> Self {
        Self {
            connection: self.connection.of_ledger(ledger),
            ledger,
            ..self
        }
    }

    /// Closes the connections. Every method fails afterwards.
    pub async fn shutdown(&self) {
        self.connection.close().await;
    }
}

#[async_trait]
impl ResultAnnouncements for RedisGate {
    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        announcements::subscribe(&self.connection, sales).await
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<ShopperResult>>, GateError> {
        results::of_sale(&self.connection, self.ledger.tag(), sale, product, users).await
    }
}

#[async_trait]
impl StockGate for RedisGate {
    fn is_durable(&self) -> bool {
        true
    }

    /// False on a cluster: a batch's keys are on different nodes, and a node that does not answer would delay the answers of
    /// the others.
    fn prefers_batched_reads(&self) -> bool {
        !self.connection.clustered
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        hold::reserve(&self.connection, sale, asked).await
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        hold::release(&self.connection, sale, holder).await
    }

    /// Writes the results before the sale. The pending entry makes the relay repeat a recording that was interrupted, so it
    /// must be removed last.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError> {
        let mut results = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            let attempt = &settlement.attempt;
            // A record with an unknown sale, product or account may still name a real shopper, who did not make the attempt. Its
            // result is written only if that shopper waits for one.
            let ids_exist = !matches!(settlement.outcome, Outcome::NoAccount | Outcome::Rejected);
            if ids_exist || results::is_awaited(&self.connection, sale, attempt.user).await? {
                results.extend(settle::result_of(settlement));
            }
        }
        let tag = self.ledger.tag();
        results::write(&self.connection, tag, self.result_ttl, &results).await?;
        let ended = settle::record(&self.connection, sale, settlements).await?;
        let mut outdated = results;
        outdated.retain(|entry| ended.contains(&entry.user));
        results::forget(&self.connection, tag, &outdated).await
    }

    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        results::write_and_announce(
            &self.connection,
            self.ledger.tag(),
            self.result_ttl,
            results,
        )
        .await
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        results::read(&self.connection, self.ledger.tag(), user, product, sale).await
    }

    async fn read_results(
        &self,
        asked: &[ResultQuery],
    ) -> Vec<Result<Option<PurchaseResult>, GateError>> {
        results::read_many(&self.connection, self.ledger.tag(), asked).await
    }

    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        read::status(&self.connection, sale).await
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        read::holders(&self.connection, sale).await
    }

    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError> {
        load::close(&self.connection, sale, request).await
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        load::relist(&self.connection, sale).await
    }

    /// Deletes the results before it changes the sale: the shopper can buy again only after the second step, so a result of
    /// a new purchase is not deleted.
    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError> {
        let results: Vec<_> = ended
            .iter()
            .map(|holder| ResultEntry {
                sale,
                product,
                user: holder.user,
                result: PurchaseResult::Success,
            })
            .collect();
        results::forget(&self.connection, self.ledger.tag(), &results).await?;
        settle::end(&self.connection, sale, ended).await
    }

    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        hold::overdue(&self.connection, sale, age, limit).await
    }

    async fn claim(
        &self,
        sale: SaleId,
        holders: &[Holder],
    ) -> Result<Vec<ClaimOutcome>, GateError> {
        hold::claim(&self.connection, sale, holders).await
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError> {
        load::begin(&self.connection, sale, token, lease).await
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError> {
        load::add_holders(&self.connection, sale, token, holders).await
    }

    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
    ) -> Result<LoadStep, GateError> {
        let connection = &self.connection;
        load::open(
            connection, sale, token, terms, remaining, movements, expires,
        )
        .await
    }

    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError> {
        change::set_terms(&self.connection, sale, terms, closed, expires).await
    }

    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError> {
        change::withdraw(&self.connection, sale, movement, units, mode, seen).await
    }

    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError> {
        read::held_units(&self.connection, sale).await
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        results::stored(&self.connection, self.ledger.tag(), sale, product, users).await
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        results::forget(&self.connection, self.ledger.tag(), results).await
    }

    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError> {
        load::unload(&self.connection, sale).await
    }

    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        read::now(&self.connection).await
    }

    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        accounts::mark(&self.connection, self.ledger).await
    }

    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError> {
        accounts::raise(&self.connection, self.ledger, to).await
    }

    async fn ping(&self) -> Result<(), GateError> {
        self.connection.ping().await
    }
}
