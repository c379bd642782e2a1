//! The ledger in PostgreSQL. Each role of the port is implemented in the submodule with its statements.
//!
//! Diesel is used only here and in the embedded engine. This engine does not decide about purchases: `rules::settlement` has
//! the rules of settling, and the schema (`migrations/`) enforces the promises.

mod account_ids;
mod account_store;
mod accounts;
mod admin;
mod admission;
mod audit;
mod connect;
mod ended;
mod events;
mod external_identities;
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
mod pool;
mod prepared;
pub mod rights;
mod sales;
mod schema;
mod service_accounts;
mod session;
mod settle;
mod stress_accounts;
mod transport;
mod unnamed;
mod users;
mod values;
mod watch;
mod webhooks;

pub use connect::ConnectError;
pub use stress_accounts::StressAccounts;

use async_trait::async_trait;

use self::{pool::SessionPool, prepared::Prepared};
use crate::{
    config::PostgresConfig,
    ids::LedgerId,
    port::{Ledger, LedgerError, LedgerProbe},
};

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

impl Ledger for PostgresLedger {
    fn id(&self) -> LedgerId {
        self.id
    }
}

#[async_trait]
impl LedgerProbe for PostgresLedger {
    async fn ping(&self) -> Result<(), LedgerError> {
        // Taking a session from the pool proves that its server accepts writes.
        self.pool.take().await.map(drop)
    }
}
