//! The stock gate on Redis or Redis Cluster: each decision is one Lua script on the keys of one sale.
//!
//! Each role of the port is implemented in the submodule of its subject: `hold` reserves and releases units, `settle` records
//! the ledger's decisions, `load` opens and closes sales, `change` applies what operators change of an open sale, `results` reads
//! and writes shoppers' results, `read` reads the state of a sale.
//!
//! `announcements` tells API nodes of results as they are recorded. `connection` sends commands to the server or the cluster, over
//! `link`, `cluster` and `sentinel`, which use `session` and `client`. `failure` classifies errors, `rights` checks the user's
//! permissions, `keys` defines the keys and the format of their values, `scripts` holds the Lua. `nodes` keeps the reports of all
//! processes.
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
mod nodes;
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
    port::{AnnouncementStream, GateError, GateProbe, ResultAnnouncements, ResultReading},
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
    fn groups(&self, sales: &[SaleId]) -> Vec<Vec<SaleId>> {
        announcements::groups(&self.connection, sales)
    }

    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        announcements::subscribe(&self.connection, sales).await
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError> {
        results::of_sale(&self.connection, self.ledger.tag(), sale, product, users).await
    }
}

#[async_trait]
impl GateProbe for RedisGate {
    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        read::now(&self.connection).await
    }

    async fn ping(&self) -> Result<(), GateError> {
        self.connection.ping().await
    }
}
