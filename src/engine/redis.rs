//! The stock gate on Redis or Redis Cluster: each decision is one Lua script on the keys of one sale.
//!
//! Each role of the port is implemented in the submodule of its subject: `hold` reserves and releases units, `settle` records
//! the ledger's decisions, `load` opens and closes sales, `change` applies what operators change of an open sale, `results` reads
//! and writes shoppers' results, `read` reads the state of a sale.
//!
//! `announcements` tells API nodes of results as they are recorded. `connection` sends commands to the server or the cluster, over
//! `link`, `cluster` and `sentinel`, which use `opening`, `session` and `client`. `failure` classifies errors, `rights` checks the
//! permissions that `acl_rule` grants, `keys` defines the keys and the format of their values, `scripts` holds the Lua. `nodes`
//! keeps the reports of all processes.
//!
//! Only this module and its submodules use fred.

mod accounts;
mod acl_rule;
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
mod opening;
mod probe;
mod read;
mod reply;
mod result_announcements;
mod results;
mod rights;
mod sale_call;
mod scripts;
mod sentinel;
mod session;
mod settle;

pub use acl_rule::rule as acl_rule;
pub use client::ConnectError;

use std::time::Duration;

use crate::{config::RedisConfig, ids::LedgerId};
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
