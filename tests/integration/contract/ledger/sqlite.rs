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
    port::{AccountStore, Administration, Ledger},
};
use tempfile::TempDir;

use super::bed::{SqlBed, TestBed, by_sql};
use crate::support::embedded;

/// A data file of its own, and a connection for statements by hand.
pub struct SqliteBed {
    engines: Embedded,
    conn: Mutex<SqliteConnection>,
    _directory: TempDir,
}

impl TestBed for SqliteBed {
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

    by_sql!();
}

impl SqlBed for SqliteBed {
    async fn administration(&self) -> Arc<dyn Administration> {
        self.engines.ledger.clone()
    }

    /// SQLite has no way to disable a trigger.
    async fn disable_action_triggers(&self) {
        for trigger in ["update_is_refused", "delete_is_refused"] {
            let drop = format!("DROP TRIGGER admin_actions_{trigger}");
            self.execute(&drop).await.unwrap();
        }
    }

    async fn execute(&self, statement: &str) -> Result<u64, String> {
        embedded::execute(&mut self.conn.lock().unwrap(), statement)
    }

    async fn number(&self, query: &str) -> i64 {
        embedded::number(&mut self.conn.lock().unwrap(), query)
    }

    async fn accounts(&self) -> Arc<dyn AccountStore> {
        self.engines.ledger.clone()
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

/// `REPLACE` deletes what is in its way, and fires no delete trigger; the shell checks no foreign keys.
#[tokio::test]
async fn replace_can_take_neither_orders_nor_units() {
    let bed = SqliteBed::start().await;
    bed.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    let users = bed.shoppers(3).await;
    let (sale, other) = (bed.sale(5).await, bed.sale(5).await);
    for (sale, user) in [(sale, users[0]), (sale, users[1]), (other, users[0])] {
        bed.order(sale, sale.value(), user, AttemptId::generate(), "SUCCESS")
            .await
            .unwrap();
    }
    let state =
        "SELECT sum(remaining_stock) * 100 + (SELECT count(*) FROM orders) FROM flash_sales";
    let before = bed.number(state).await;
    assert_eq!(before, 703);
    for statement in [
        format!(
            "REPLACE INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
             VALUES ({}, {sale}, {sale}, 'FAILED', randomblob(16))",
            users[0]
        ),
        format!(
            "REPLACE INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
             SELECT {}, {sale}, {sale}, 'FAILED', attempt_id FROM orders WHERE flash_sale_id = {other}",
            users[2]
        ),
        format!(
            "UPDATE OR REPLACE orders SET user_id = {} WHERE user_id = {} AND flash_sale_id = {sale}",
            users[0], users[1]
        ),
        format!(
            "UPDATE OR REPLACE orders SET attempt_id = (SELECT attempt_id FROM orders WHERE flash_sale_id = {other})
             WHERE flash_sale_id = {sale} AND user_id = {}",
            users[0]
        ),
        format!(
            "REPLACE INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock)
             VALUES ({sale}, {sale}, 1, 2, 5, 5)"
        ),
        format!(
            "REPLACE INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock)
             VALUES ({sale}, {sale}, 1, 2, 5, 3)"
        ),
    ] {
        let refused = bed.execute(&statement).await;
        assert!(refused.is_err(), "{statement}");
        assert_eq!(bed.number(state).await, before, "{statement}");
    }
    // A sale with orders that was deleted can be put back only with the units that are left.
    bed.execute(&format!("DELETE FROM flash_sales WHERE id = {sale}"))
        .await
        .unwrap();
    let put_back = |remaining: i64| {
        format!(
            "INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock)
             VALUES ({sale}, {sale}, 1, 2, 5, {remaining})"
        )
    };
    bed.execute(&put_back(5)).await.unwrap_err();
    bed.execute(&put_back(3)).await.unwrap();
}
