//! What shoppers are told who hold no unit, kept in the data file. Who holds one is told by the gate; once the gate has
//! forgotten the sale, by the order.

use std::{sync::Arc, time::Duration};

use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{
    Prepared,
    schema::{flash_sales, orders, results},
    store::Store,
    values::millis,
};
use crate::{
    clock::Clock,
    ids::{ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, ResultEntry},
};

const FAILED: &str = "FAILED";
const SUCCESS: &str = "SUCCESS";

/// The results of a data file.
#[derive(Clone)]
pub(super) struct Results {
    store: Store,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

impl Results {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, ttl: Duration) -> Self {
        Self { store, clock, ttl }
    }

    pub(super) async fn write(&self, entries: Vec<ResultEntry>) -> Result<(), GateError> {
        if entries.is_empty() {
            return Ok(());
        }
        let ttl = i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX);
        let expires_at = millis(self.clock.now()).saturating_add(ttl);
        let written = self
            .store
            .write(move |conn| write(conn, &entries, expires_at))
            .await;
        written.map_err(|error| GateError::Unknown(error.to_string()))
    }

    /// The shopper's order in the sale; else what was written. Without a sale, the order in the product's latest sale in
    /// which there is one counts before a FAILED of that sale.
    pub(super) async fn read(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        let now = millis(self.clock.now());
        let read = self
            .store
            .read(move |conn| read(conn, user, product, sale, now))
            .await;
        read.map_err(|error| GateError::Unknown(error.to_string()))
    }
}

/// Never a FAILED over a SUCCESS of the same sale.
const WRITE: &str = "
    INSERT INTO results (user_id, product_id, flash_sale_id, result, expires_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (user_id, product_id) DO UPDATE SET
        flash_sale_id = excluded.flash_sale_id, result = excluded.result, expires_at = excluded.expires_at
    WHERE NOT (results.flash_sale_id = excluded.flash_sale_id AND results.result = 'SUCCESS' AND excluded.result = 'FAILED')";

pub(super) fn write(
    conn: &mut SqliteConnection,
    entries: &[ResultEntry],
    expires_at: i64,
) -> QueryResult<()> {
    for entry in entries {
        Prepared::new(WRITE)
            .bind::<BigInt, _>(entry.user.value())
            .bind::<BigInt, _>(entry.product.value())
            .bind::<BigInt, _>(entry.sale.value())
            .bind::<Text, _>(word(entry.result))
            .bind::<BigInt, _>(expires_at)
            .execute(conn)?;
    }
    Ok(())
}

/// Forgets what nobody can read any more.
pub(super) fn forget_expired(conn: &mut SqliteConnection, now: i64) -> QueryResult<usize> {
    diesel::delete(results::table.filter(results::expires_at.le(now))).execute(conn)
}

fn read(
    conn: &mut SqliteConnection,
    user: UserId,
    product: ProductId,
    sale: Option<SaleId>,
    now: i64,
) -> QueryResult<Option<PurchaseResult>> {
    let written = results::table
        .find((user.value(), product.value()))
        .filter(results::expires_at.gt(now))
        .select((results::flash_sale_id, results::result))
        .first::<(i64, String)>(conn)
        .optional()?;
    let sale = match (sale, &written) {
        (Some(sale), _) => Some(sale.value()),
        (None, Some((sale, _))) => Some(*sale),
        (None, None) => latest_order(conn, user, product)?,
    };
    let ordered = match sale {
        Some(sale) => orders::table
            .find((sale, user.value()))
            .filter(orders::status.eq(SUCCESS))
            .select(orders::user_id)
            .first::<i64>(conn)
            .optional()?
            .is_some(),
        None => false,
    };
    if ordered {
        return Ok(Some(PurchaseResult::Success));
    }
    Ok(written.map(|(_, word)| result(&word)))
}

/// The latest sale of the product in which the shopper has an order.
fn latest_order(
    conn: &mut SqliteConnection,
    user: UserId,
    product: ProductId,
) -> QueryResult<Option<i64>> {
    flash_sales::table
        .inner_join(orders::table.on(orders::flash_sale_id.eq(flash_sales::id)))
        .filter(flash_sales::product_id.eq(product.value()))
        .filter(orders::user_id.eq(user.value()))
        .order(flash_sales::start_time.desc())
        .select(flash_sales::id)
        .first::<i64>(conn)
        .optional()
}

fn word(result: PurchaseResult) -> &'static str {
    match result {
        PurchaseResult::Success => SUCCESS,
        PurchaseResult::Failed => FAILED,
    }
}

/// The check on the column allows no other words.
fn result(word: &str) -> PurchaseResult {
    if word == SUCCESS {
        PurchaseResult::Success
    } else {
        PurchaseResult::Failed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::{engine::embedded::DataFile, port::StockGate};

    struct TestClock(Mutex<DateTime<Utc>>);

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    #[tokio::test]
    async fn a_result_is_forgotten_after_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let manual = Arc::new(TestClock(Mutex::new(DateTime::UNIX_EPOCH)));
        let clock: Arc<dyn Clock> = manual.clone();
        let start = || {
            let mut data = DataFile::open(directory.path()).unwrap();
            data.migrate().unwrap();
            data.start(&clock, Duration::from_secs(10)).unwrap()
        };
        let (user, product) = (UserId::new(1).unwrap(), ProductId::new(1).unwrap());
        let entry = ResultEntry {
            sale: SaleId::new(1).unwrap(),
            product,
            user,
            result: PurchaseResult::Failed,
        };
        let engines = start();
        engines.gate.write_results(&[entry]).await.unwrap();
        let mut engines = Some(engines);
        for (millis, expected) in [(9_999, Some(PurchaseResult::Failed)), (10_000, None)] {
            *manual.0.lock().unwrap() = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis);
            // Also by another process.
            if let Some(before) = engines.take() {
                before.close().await;
            }
            let now = start();
            assert_eq!(
                now.gate.read_result(user, product, None).await.unwrap(),
                expected,
                "after {millis} ms"
            );
            engines = Some(now);
        }
    }
}
