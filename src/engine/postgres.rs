//! The ledger on PostgreSQL, through diesel-async: no libpq.
//!
//! Each child holds the queries of one concern as functions that take a connection, so that they compose inside a
//! transaction; here they become the port.

mod accounts;
mod leases;
mod migrate;
mod pool;
mod sales;
mod seed;
mod settle;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use futures::future::BoxFuture;

pub use migrate::{AppliedMigration, MigrateError, Migrations};
pub use pool::ConnectError;
pub use seed::{SeedError, SeedPlan, SeedReport, SeedUser};

use crate::{
    config::PostgresConfig,
    ids::{AttemptId, SaleId},
    port::{
        Lease, Ledger, LedgerError, Member, NewUser, Offset, Outcome, Partition, Position,
        Registration, SaleListing, SaleSnapshot, SettleBatch, SettleError, Settlement, StoredUser,
    },
};
use pool::Pool;

/// Tries of a transaction that PostgreSQL ended to get out of a deadlock.
const TRIES: u32 = 3;

/// The system of record.
pub struct PostgresLedger {
    pool: Pool,
}

impl PostgresLedger {
    /// Connects once, and makes sure that the database's schema is the one this program was built for.
    pub async fn connect(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let pool = Pool::new(config)?;
        pool.check().await?;
        Migrations::check(config).await?;
        Ok(Self { pool })
    }

    /// Runs short queries with a deadline: one that a server does not answer takes its connection with it.
    async fn query<T, F>(&self, query: F) -> Result<T, LedgerError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut AsyncPgConnection) -> BoxFuture<'c, diesel::QueryResult<T>>
            + Send,
    {
        self.pool.query(query).await
    }
}

/// Shortens the delegation below.
macro_rules! query {
    ($ledger:ident, $query:expr) => {
        $ledger
            .query(move |connection| Box::pin(async move { $query(connection).await }))
            .await
    };
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn register(&self, user: &NewUser) -> Result<Registration, LedgerError> {
        let user = user.clone();
        query!(self, async |connection| accounts::register(
            connection, &user
        )
        .await)
    }

    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        let username = username.to_owned();
        query!(self, async |connection| accounts::find(
            connection, &username
        )
        .await)
    }

    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        query!(self, async |connection| sales::since(connection, since)
            .await)
    }

    async fn settle(&self, batch: SettleBatch<'_>) -> Result<Vec<Settlement>, SettleError> {
        let mut tries = 0;
        loop {
            tries += 1;
            // No deadline around a transaction: what became of it would be unknown. The server ends a statement that
            // takes too long (statement_timeout), and TCP notices a server that went away (see `pool`).
            let mut connection = self.pool.connection().await?;
            match settle::settle(&mut connection, &batch).await {
                Err(settle::Failure::Deadlock) if tries < TRIES => {}
                settled => return settled.map_err(SettleError::from),
            }
        }
    }

    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        let attempts: Vec<_> = attempts.iter().map(|attempt| attempt.0).collect();
        query!(self, async |connection| settle::outcomes(
            connection, &attempts
        )
        .await)
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        query!(self, async |connection| sales::snapshot(connection, sale)
            .await)
    }

    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        let member = member.clone();
        query!(self, async |connection| leases::heartbeat(
            connection, &member, partitions, ttl
        )
        .await)
    }

    async fn hand_back(
        &self,
        member: &Member,
        partitions: &[Partition],
    ) -> Result<(), LedgerError> {
        let (member, partitions) = (
            member.clone(),
            partitions
                .iter()
                .map(|partition| partition.0)
                .collect::<Vec<_>>(),
        );
        query!(self, async |connection| leases::hand_back(
            connection,
            &member,
            &partitions
        )
        .await)
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        let member = member.clone();
        query!(self, async |connection| leases::leave(connection, &member)
            .await)
    }

    async fn progress(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        query!(self, async |connection| leases::progress(
            connection, &group, &topic
        )
        .await)
    }

    async fn reposition(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<bool, LedgerError> {
        let position = position.clone();
        query!(self, async |connection| leases::reposition(
            connection, &position, from, to, None
        )
        .await)
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        query!(self, pool::ping)
    }
}
