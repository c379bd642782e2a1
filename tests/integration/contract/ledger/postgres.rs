//! The ledger on PostgreSQL: its bed for the suite, and what only a server can do to it.

mod by_hand;
mod concurrency;
mod connections;
mod cost;
mod schema;

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use flashsale::{
    engine::postgres::{ConnectError, PostgresLedger},
    port::{AccountStore, Administration, Ledger, WebhookChanges},
};

use super::{
    bed::{SqlBed, TestBed, by_sql},
    operator,
};
use crate::support::postgres::TestDatabase;

/// A database of its own, and a connection for statements by hand.
pub struct PostgresBed {
    database: TestDatabase,
    client: tokio_postgres::Client,
}

impl TestBed for PostgresBed {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let client = database.client().await;
        Self { database, client }
    }

    async fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.database.ledger().await)
    }

    by_sql!();
}

impl SqlBed for PostgresBed {
    async fn administration(&self) -> Arc<dyn Administration> {
        Arc::new(self.database.ledger().await)
    }

    async fn webhooks(&self) -> Arc<dyn WebhookChanges> {
        Arc::new(self.database.ledger().await)
    }

    async fn disable_action_triggers(&self) {
        self.execute("ALTER TABLE admin_actions DISABLE TRIGGER USER")
            .await
            .unwrap();
    }

    async fn execute(&self, statement: &str) -> Result<u64, String> {
        self.client
            .execute(statement, &[])
            .await
            .map_err(|error| format!("{error:?}"))
    }

    async fn number(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    async fn accounts(&self) -> Arc<dyn AccountStore> {
        Arc::new(self.database.ledger().await)
    }

    fn instant(&self, at: DateTime<Utc>) -> String {
        at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

fn connect_error(result: Result<PostgresLedger, ConnectError>) -> ConnectError {
    result.err().expect("it connected")
}
