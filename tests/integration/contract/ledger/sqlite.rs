//! The ledger in a data file: its bed for the suite.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, connection::SimpleConnection};
use flashsale::{
    engine::embedded::{DataFile, Embedded},
    ids::{AttemptId, SaleId, UserId},
    port::{AccountStore, Administration, Ledger, WebhookChanges},
};
use tempfile::TempDir;

use super::{
    bed::{SqlBed, TestBed, by_sql},
    operator,
};
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

    async fn webhooks(&self) -> Arc<dyn WebhookChanges> {
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

/// Both numbers are changed alike, and no orders are counted: they are not missed while they are hidden.
#[tokio::test]
async fn changing_the_units_counts_no_orders() {
    let bed = SqliteBed::start().await;
    let sale = bed.sale(5).await;
    let set = async |what: &str| {
        let statement = format!("UPDATE flash_sales SET {what} WHERE id = {sale}");
        bed.execute(&statement).await
    };
    // As by an order, which is not there.
    set("remaining_stock = remaining_stock - 1, moves = moves + 1")
        .await
        .unwrap();
    set("initial_stock = initial_stock + 5, remaining_stock = remaining_stock + 5")
        .await
        .unwrap();
    set("initial_stock = initial_stock - 2, remaining_stock = remaining_stock - 2")
        .await
        .unwrap();
    set("initial_stock = initial_stock - 1, remaining_stock = remaining_stock - 2")
        .await
        .unwrap_err();
    set("remaining_stock = remaining_stock + 1, moves = moves + 1")
        .await
        .unwrap();
    bed.check_promises().await;
}

/// A cancelled sale that was replaced, with its orders, and what else the version before does not know.
#[tokio::test]
async fn sales_that_are_not_live_go_out_of_the_way_of_the_version_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut data = DataFile::open(directory.path()).unwrap();
    data.migrate().unwrap();
    let mut conn = embedded::connect(directory.path());
    let hour = 3_600_000;
    let now = Utc::now().timestamp_millis();
    let (start, end) = (now - hour, now + hour);
    conn.batch_execute(&operator::states_to_take_back(
        &start.to_string(),
        &end.to_string(),
    ))
    .unwrap();
    while let Some(name) = data.revert().unwrap() {
        if name.contains("003000") {
            break;
        }
    }
    for (query, expected) in operator::STATES_TAKEN_BACK {
        assert_eq!(embedded::number(&mut conn, query), expected, "{query}");
    }
    let overlap =
        format!("UPDATE flash_sales SET start_time = {start}, end_time = {end} WHERE id = 1");
    conn.batch_execute(&overlap).unwrap_err();
    let longer = "UPDATE flash_sales SET end_time = end_time + 3600000 WHERE id = 2";
    conn.batch_execute(longer).unwrap();
    data.migrate().unwrap();
    let live =
        "SELECT count(*) FROM flash_sales WHERE state = 'LIVE' AND admitted_from <= admitted_until";
    assert_eq!(embedded::number(&mut conn, live), 3);
}
