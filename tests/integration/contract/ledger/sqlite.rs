//! The ledger in a data file: its bed for the suite.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use diesel::SqliteConnection;
use flashsale::{
    engine::embedded::Embedded,
    ids::{AttemptId, SaleId, UserId},
    port::Ledger,
};
use tempfile::TempDir;

use super::bed::Bed;
use crate::support::embedded;

/// A data file of its own, and a connection for statements by hand.
pub struct SqliteBed {
    engines: Embedded,
    conn: Mutex<SqliteConnection>,
    _directory: TempDir,
}

impl Bed for SqliteBed {
    async fn start() -> Self {
        let (directory, engines) = embedded::start(Duration::from_mins(10));
        Self {
            conn: Mutex::new(embedded::connect(directory.path())),
            engines,
            _directory: directory,
        }
    }

    /// There is one process: every worker of a test has the same.
    async fn ledger(&self) -> Arc<dyn Ledger> {
        self.engines.ledger.clone()
    }

    async fn execute(&self, statement: &str) -> Result<u64, String> {
        embedded::execute(&mut self.conn.lock().unwrap(), statement)
    }

    async fn number(&self, query: &str) -> i64 {
        embedded::number(&mut self.conn.lock().unwrap(), query)
    }

    fn instant(&self, at: DateTime<Utc>) -> String {
        at.timestamp_millis().to_string()
    }

    async fn order(
        &self,
        sale: SaleId,
        product: i64,
        user: UserId,
        attempt: AttemptId,
        status: &str,
    ) -> Result<u64, String> {
        self.execute(&format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
             VALUES ({user}, {product}, {sale}, '{status}', x'{}')",
            attempt.0.simple()
        ))
        .await
    }
}
