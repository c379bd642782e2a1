//! What an engine of the ledger must offer so that the suite can run on it, and the words the suite speaks in.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        AccountStore, Administration, Attempt, Ledger, Member, Offset, Outcome, Partition,
        Position, Rejection, SettleBatch, SettleError, WebhookChanges,
    },
};

pub const GROUP: &str = "workers";
pub const TOPIC: &str = "attempts";

static NEXT_ID: AtomicI64 = AtomicI64::new(1);

/// An engine of the ledger with an empty store of its own.
pub trait TestBed: Sized {
    async fn start() -> Self;

    /// The ledger as another process would have it.
    async fn ledger(&self) -> Arc<dyn Ledger>;

    /// Accounts with ids 1 to `count`, in an empty store.
    async fn shoppers(&self, count: i64) -> Vec<UserId>;

    /// A sale that runs, of a product of its own. Its id and its product's are the same.
    async fn sale(&self, stock: u32) -> SaleId {
        let now = SystemClock.now();
        self.sale_at(stock, now - TimeDelta::hours(1), now + TimeDelta::hours(1))
            .await
    }

    async fn sale_at(&self, stock: u32, start: DateTime<Utc>, end: DateTime<Utc>) -> SaleId;

    /// Deletes an account, as an operator does.
    async fn delete_account(&self, user: UserId);

    /// Deletes the order of a shopper, as an operator does.
    async fn end_order(&self, sale: SaleId, user: UserId);

    /// Sets how many units there are, as an operator does.
    async fn set_units(&self, sale: SaleId, units: u32);

    /// How many orders there are.
    async fn orders(&self) -> i64;

    /// How many attempts are recorded.
    async fn attempts(&self) -> i64;

    /// The promises of the ledger, on whatever a test left behind.
    async fn check_promises(&self);
}

/// An engine that speaks SQL.
pub trait SqlBed: TestBed {
    /// The ledger as operators change it.
    async fn administration(&self) -> Arc<dyn Administration>;

    /// The endpoints of webhooks as operators change them.
    async fn webhooks(&self) -> Arc<dyn WebhookChanges>;

    /// Has the ledger write no entry of the action log, and lets it write entries again.
    async fn break_action_log(&self, is_broken: bool) {
        let (from, to) = if is_broken {
            ("admin_actions", "hidden_actions")
        } else {
            ("hidden_actions", "admin_actions")
        };
        let rename = format!("ALTER TABLE {from} RENAME TO {to}");
        self.execute(&rename).await.unwrap();
    }

    /// Disables the triggers that keep entries of the action log from being changed.
    async fn disable_action_triggers(&self);

    /// A statement by hand.
    async fn execute(&self, statement: &str) -> Result<u64, String>;

    /// A query by hand for one number.
    async fn number(&self, query: &str) -> i64;

    /// The accounts, to be changed.
    async fn accounts(&self) -> Arc<dyn AccountStore>;

    /// Instants as the engine's SQL spells them.
    fn instant(&self, at: DateTime<Utc>) -> String;

    /// An order by hand. Status as SQL spells it.
    async fn order(
        &self,
        sale: SaleId,
        product: i64,
        user: UserId,
        attempt: AttemptId,
        status: &str,
    ) -> Result<u64, String> {
        self.execute(&format!(
            "INSERT INTO orders (id, user_id, product_id, flash_sale_id, status, attempt_id)
             VALUES ('{}', {user}, {product}, {sale}, '{status}', '{attempt}')",
            uuid::Uuid::now_v7()
        ))
        .await
    }
}

/// What a [`TestBed`] is to make and to count, by SQL: for `impl TestBed` of an engine that is a [`SqlBed`].
macro_rules! by_sql {
    () => {
        async fn shoppers(&self, count: i64) -> Vec<flashsale::ids::UserId> {
            $crate::contract::ledger::bed::insert_shoppers(self, count).await
        }

        async fn sale_at(
            &self,
            stock: u32,
            start: chrono::DateTime<chrono::Utc>,
            end: chrono::DateTime<chrono::Utc>,
        ) -> flashsale::ids::SaleId {
            $crate::contract::ledger::bed::insert_sale(self, stock, start, end).await
        }

        async fn delete_account(&self, user: flashsale::ids::UserId) {
            let statement = format!("DELETE FROM users WHERE id = {user}");
            assert_eq!(self.execute(&statement).await, Ok(1));
        }

        async fn end_order(&self, sale: flashsale::ids::SaleId, user: flashsale::ids::UserId) {
            let of = format!("flash_sale_id = {sale} AND user_id = {user}");
            let statement = format!("DELETE FROM orders WHERE {of}");
            assert_eq!(self.execute(&statement).await, Ok(1));
        }

        async fn set_units(&self, sale: flashsale::ids::SaleId, units: u32) {
            let set = format!(
                "initial_stock = {units}, remaining_stock = remaining_stock + ({units} - initial_stock)"
            );
            let statement = format!("UPDATE flash_sales SET {set} WHERE id = {sale}");
            assert_eq!(self.execute(&statement).await, Ok(1));
        }

        async fn orders(&self) -> i64 {
            self.number("SELECT count(*) FROM orders").await
        }

        async fn attempts(&self) -> i64 {
            self.number("SELECT count(*) FROM purchase_attempts").await
        }

        async fn check_promises(&self) {
            $crate::contract::ledger::bed::query_promises(self).await;
        }
    };
}
pub(super) use by_sql;

/// A number that no other sale has.
pub fn next_id() -> i64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

pub async fn insert_shoppers(bed: &impl SqlBed, count: i64) -> Vec<UserId> {
    for id in 1..=count {
        let row = format!("({id}, 'shopper{id}', 'shopper{id}@example.com', '-')");
        bed.execute(&format!(
            "INSERT INTO users (id, username, email, password_hash) VALUES {row}"
        ))
        .await
        .unwrap();
    }
    (1..=count).filter_map(UserId::new).collect()
}

pub async fn insert_sale(
    bed: &impl SqlBed,
    stock: u32,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> SaleId {
    let id = next_id();
    bed.execute(&format!("INSERT INTO products (id, sku, name, price_cents) VALUES ({id}, 'SKU-{id}', 'Thing {id}', 1)"))
        .await
        .unwrap();
    bed.execute(&format!(
        "INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock)
         VALUES ({id}, {id}, '{}', '{}', {stock}, {stock})",
        bed.instant(start),
        bed.instant(end)
    ))
    .await
    .unwrap();
    SaleId::new(id).unwrap()
}

pub async fn query_promises(bed: &impl SqlBed) {
    for (promise, broken) in [
        (
            "remaining units are those without an order, and never below zero",
            "SELECT count(*) FROM flash_sales s WHERE remaining_stock < 0 OR remaining_stock <> initial_stock
             - (SELECT count(*) FROM orders o WHERE o.flash_sale_id = s.id AND status = 'SUCCESS')",
        ),
        (
            "a shopper has one order a sale",
            "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY flash_sale_id, user_id HAVING count(*) > 1) twice",
        ),
        (
            "an attempt recorded as ordered has its order, unless that has ended",
            "SELECT count(*) FROM purchase_attempts p WHERE outcome = 'ORDERED' AND NOT EXISTS
             (SELECT 1 FROM orders o WHERE o.attempt_id = p.attempt_id AND o.user_id = p.user_id)
             AND NOT EXISTS (SELECT 1 FROM released_orders r WHERE r.attempt_id = p.attempt_id)",
        ),
        (
            "an attempt recorded as failed has none",
            "SELECT count(*) FROM purchase_attempts p WHERE outcome <> 'ORDERED' AND EXISTS
             (SELECT 1 FROM orders o WHERE o.attempt_id = p.attempt_id)",
        ),
    ] {
        assert_eq!(bed.number(broken).await, 0, "broken: {promise}");
    }
}

/// An attempt of a sale made by [`TestBed::sale`].
pub fn attempt(sale: SaleId, user: UserId) -> Attempt {
    let product = ProductId::new(sale.value()).unwrap();
    Attempt {
        id: AttemptId::generate(),
        sale,
        product,
        user,
        at: SystemClock.now(),
    }
}

/// An attempt at this time.
pub fn attempt_at(sale: SaleId, user: UserId, at: DateTime<Utc>) -> Attempt {
    Attempt {
        at,
        ..attempt(sale, user)
    }
}

pub fn member(id: &str) -> Member {
    Member {
        group: GROUP.into(),
        topic: TOPIC.into(),
        id: id.into(),
    }
}

pub fn position(partition: i32) -> Position {
    Position {
        group: GROUP.into(),
        topic: TOPIC.into(),
        partition: Partition(partition),
    }
}

/// Makes the rows of these partitions, at offset 0 and free.
pub async fn make_partitions(ledger: &dyn Ledger, partitions: i32) {
    let maker = member("maker of partitions");
    ledger
        .heartbeat(&maker, partitions, std::time::Duration::from_mins(1))
        .await
        .unwrap();
    ledger.leave(&maker).await.unwrap();
}

/// Settles attempts that stand one after the other in a partition.
pub async fn settle(
    ledger: &dyn Ledger,
    partition: i32,
    from: i64,
    attempts: &[Attempt],
) -> Result<Vec<Outcome>, SettleError> {
    settle_with(ledger, partition, from, attempts, &[]).await
}

pub async fn settle_with(
    ledger: &dyn Ledger,
    partition: i32,
    from: i64,
    attempts: &[Attempt],
    rejected: &[Rejection],
) -> Result<Vec<Outcome>, SettleError> {
    let to = Offset(from + i64::try_from(attempts.len()).unwrap());
    let last = attempts.last().map(|attempt| attempt.id);
    let batch = SettleBatch {
        position: position(partition),
        from: Offset(from),
        to,
        last,
        attempts: attempts.to_vec(),
        offsets: Vec::new(),
        rejected: rejected.to_vec(),
        reached: None,
    };
    let settlements = ledger.settle(&[batch]).await?.concat();
    assert!(
        settlements
            .iter()
            .map(|settlement| settlement.attempt)
            .eq(attempts.iter().copied()),
        "one each, in order"
    );
    Ok(settlements
        .into_iter()
        .map(|settlement| settlement.outcome)
        .collect())
}
