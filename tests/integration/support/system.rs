//! A whole system of a test's own, on servers or in one process: what both offer, and how the promises are checked.

mod one_process;
mod servers;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use one_process::OneProcess;
pub use servers::Servers;

use super::api::{Api, JWT_SECRET, Shopper};

/// What the gate has of an open sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateBalance {
    pub available: i64,
    pub pending: u64,
}

/// What the ledger has of a sale.
#[derive(Debug, PartialEq, Eq)]
pub struct Balance {
    pub initial: i64,
    pub remaining: i64,
    pub orders: i64,
    /// Shoppers with an order.
    pub buyers: i64,
}

/// A system without processes yet, but with everything they need.
pub trait System: Sized + Send + Sync {
    /// A worker, if it is a process of its own.
    type Worker: Send + Sync;

    async fn start() -> Self;

    /// An API on a free port, serving.
    async fn serve(&self) -> Api {
        self.serve_as(&[]).await
    }

    /// The same with more in its environment.
    async fn serve_as(&self, more: &[(&str, &str)]) -> Api;

    /// A worker, working; nothing where the API's process is one.
    async fn worker(&self) -> Self::Worker;

    /// All that the worker has printed.
    fn worker_output(&self, api: &Api, worker: &Self::Worker) -> String;

    /// A statement by hand.
    async fn sql(&self, statement: &str);

    /// The one number that a query answers.
    async fn number(&self, query: &str) -> i64;

    /// Instants as the ledger's SQL spells them.
    fn instant(&self, at: DateTime<Utc>) -> String;

    /// Ids as the ledger's SQL spells them.
    fn uuid(&self, id: Uuid) -> String;

    /// What the gate has of a sale; `None` while it is not open.
    async fn gate_balance(&self, sale: i64) -> Option<GateBalance>;

    /// How many records were ever logged.
    async fn log_end(&self) -> i64;

    async fn dead_letter_causes(&self) -> Vec<String>;

    /// A sale of a product of its own that is open from a minute ago for an hour. Its ids.
    async fn sale(&self, stock: u32) -> (i64, i64) {
        let now = Utc::now();
        self.sale_in(
            stock,
            now - Duration::from_mins(1),
            now + Duration::from_hours(1),
        )
        .await
    }

    async fn sale_in(&self, stock: u32, start: DateTime<Utc>, end: DateTime<Utc>) -> (i64, i64) {
        let sku = Uuid::new_v4().simple().to_string();
        self.sql(&format!(
            "INSERT INTO products (sku, name, description, price_cents) VALUES ('{sku}', 'A product', 'Of a test', 100)"
        ))
        .await;
        let product = self
            .number(&format!("SELECT id FROM products WHERE sku = '{sku}'"))
            .await;
        self.sql(&format!(
            "INSERT INTO flash_sales (product_id, start_time, end_time, initial_stock, remaining_stock) \
             VALUES ({product}, '{}', '{}', {stock}, {stock})",
            self.instant(start),
            self.instant(end)
        ))
        .await;
        let sale = self
            .number(&format!(
                "SELECT id FROM flash_sales WHERE product_id = {product}"
            ))
            .await;
        (sale, product)
    }

    /// An order that nobody pressed for, made by hand. The id of its attempt.
    async fn order(&self, sale: i64, product: i64, shopper: &Shopper) -> Uuid {
        let attempt = Uuid::now_v7();
        self.sql(&format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, attempt_id, status) \
             VALUES ({}, {product}, {sale}, {}, 'SUCCESS')",
            shopper.id,
            self.uuid(attempt)
        ))
        .await;
        attempt
    }

    /// Shoppers with accounts and tokens, made behind the API's back.
    async fn shoppers(&self, count: usize) -> Vec<Shopper> {
        let names = &Uuid::new_v4().simple().to_string()[..12];
        let rows: Vec<String> = (1..=count)
            .map(|n| format!("('{names}{n}', '{names}{n}@example.com', 'none', 'user')"))
            .collect();
        self.sql(&format!(
            "INSERT INTO users (username, email, password_hash, role) VALUES {}",
            rows.join(", ")
        ))
        .await;
        let of_these = format!("FROM users WHERE username LIKE '{names}%'");
        let first = self.number(&format!("SELECT min(id) {of_these}")).await;
        let last = self.number(&format!("SELECT max(id) {of_these}")).await;
        let mut ids: Vec<i64> = (first..=last).collect();
        if ids.len() > count {
            // Somebody registered meanwhile, and has an id among theirs.
            ids = vec![first];
            while ids.len() < count {
                let next = format!("SELECT min(id) {of_these} AND id > {}", ids[ids.len() - 1]);
                ids.push(self.number(&next).await);
            }
        }
        ids.into_iter().map(Shopper::with_account).collect()
    }

    async fn wait_until_open(&self, sale: i64) {
        super::wait_until("the sale is open", Duration::from_secs(20), || async {
            self.gate_balance(sale).await.is_some()
        })
        .await;
    }

    async fn balance(&self, sale: i64) -> Balance {
        let sales = format!("FROM flash_sales WHERE id = {sale}");
        let orders = format!("FROM orders WHERE flash_sale_id = {sale} AND status = 'SUCCESS'");
        Balance {
            initial: self
                .number(&format!("SELECT CAST(initial_stock AS BIGINT) {sales}"))
                .await,
            remaining: self
                .number(&format!("SELECT CAST(remaining_stock AS BIGINT) {sales}"))
                .await,
            orders: self.number(&format!("SELECT count(*) {orders}")).await,
            buyers: self
                .number(&format!("SELECT count(DISTINCT user_id) {orders}"))
                .await,
        }
    }

    /// Waits until the log is settled, nothing is pending, and every unit is sold or available in the ledger and in the
    /// gate alike; then checks what must hold of a quiet system: nothing oversold, one order a shopper, nothing leaked.
    async fn check_promises(&self, sale: i64) -> Balance {
        let seen = std::cell::RefCell::new(String::new());
        let quiet = super::holds_within(Duration::from_secs(30), || async {
            let settled = self.log_is_settled().await;
            let quiet = GateBalance {
                available: self.balance(sale).await.remaining,
                pending: 0,
            };
            let gate = self.gate_balance(sale).await;
            *seen.borrow_mut() = format!("settled {settled}, in the gate {gate:?} for {quiet:?}");
            settled && gate == Some(quiet)
        });
        assert!(quiet.await, "the system is not quiet: {}", seen.borrow());
        let balance = self.balance(sale).await;
        assert!(balance.orders <= balance.initial, "oversold: {balance:?}");
        assert_eq!(
            balance.orders, balance.buyers,
            "two orders for one shopper: {balance:?}"
        );
        assert_eq!(
            balance.initial,
            balance.orders + balance.remaining,
            "units leaked in the ledger: {balance:?}"
        );
        balance
    }

    async fn log_is_settled(&self) -> bool {
        let settled =
            "SELECT CAST(coalesce(sum(next_offset), 0) AS BIGINT) FROM consumer_partitions";
        self.number(settled).await == self.log_end().await
    }
}

/// What every process of a test system gets.
fn environment() -> BTreeMap<String, String> {
    [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("JWT_SECRET", JWT_SECRET),
        // The cheapest hash there is: these tests are not about passwords.
        ("PASSWORD_MEMORY_KIB", "8"),
        ("PASSWORD_PASSES", "1"),
        // Thousands of shoppers come from one address, and press as fast as they can.
        ("LIMIT_LOGINS_PER_ADDRESS", "0"),
        ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", "0"),
        ("LIMIT_REGISTRATIONS_PER_ADDRESS", "0"),
        ("LIMIT_REGISTRATIONS_PER_ACCOUNT", "0"),
        ("LIMIT_ATTEMPTS_PER_USER", "0"),
        ("WORKER_LEASE_SECS", "2"),
        ("WORKER_PENDING_AGE_SECS", "1"),
        ("STARTUP_TIMEOUT_SECS", "20"),
        // No load balancer has to notice.
        ("DRAIN_DELAY_SECS", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
