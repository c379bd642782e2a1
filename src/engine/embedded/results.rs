//! The results of shoppers who hold no unit, kept in the data file. The gate itself knows the results of shoppers who hold one;
//! once it has forgotten their sale, their orders in the data file show it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{
    Prepared, log,
    schema::{flash_sales, orders, results},
    store::Store,
    values::millis,
};
use crate::{
    clock::Clock,
    engine::number::to_bigint,
    ids::{ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, ResultEntry},
};

const FAILED: &str = "FAILED";
const SUCCESS: &str = "SUCCESS";

/// Reads and writes the results in a data file.
#[derive(Clone)]
pub(super) struct ResultStore {
    store: Store,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    /// The end of the log when this process started: earlier processes appended the records before this offset.
    log_end_at_start: i64,
    /// True once every record before `log_end_at_start` is settled.
    recovered: Arc<AtomicBool>,
}

/// A shopper's result for a product, and the sale that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredResult {
    pub(super) sale: SaleId,
    pub(super) result: PurchaseResult,
}

impl ResultStore {
    /// `log_end_at_start` is the present end of the log, which earlier processes have written. Results expire after `ttl`.
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        ttl: Duration,
        log_end_at_start: i64,
    ) -> Self {
        Self {
            store,
            clock,
            ttl,
            log_end_at_start,
            recovered: Arc::default(),
        }
    }

    pub(super) async fn write(&self, entries: Vec<ResultEntry>) -> Result<(), GateError> {
        if entries.is_empty() {
            return Ok(());
        }
        let ttl = to_bigint(self.ttl.as_millis());
        let expires_at = millis(self.clock.now()).saturating_add(ttl);
        let written = self
            .store
            .write(move |conn| write(conn, &entries, expires_at))
            .await;
        written.map_err(|error| GateError::Unknown(error.to_string()))
    }

    /// The shopper's result for a product. It comes from the written result and from the shopper's orders: those in the data
    /// file, and one in each sale of `ordered_sales`. An order takes precedence over a FAILED of its sale or of an earlier one.
    /// FAILED is returned only once every attempt that earlier processes accepted is settled, since one of them may be the
    /// shopper's.
    pub(super) async fn read(
        &self,
        user: UserId,
        product: ProductId,
        ordered_sales: Vec<SaleId>,
    ) -> Result<Option<StoredResult>, GateError> {
        let (now, log_end_at_start) = (millis(self.clock.now()), self.log_end_at_start);
        let recovered = self.recovered.load(Ordering::Relaxed);
        let read = self.store.read(move |conn| {
            let recovered = recovered || log::settled(conn)? >= log_end_at_start;
            let found = find_result(conn, user, product, ordered_sales, now)?;
            Ok((recovered, found))
        });
        let (recovered, found) = read
            .await
            .map_err(|error| GateError::Unknown(error.to_string()))?;
        self.recovered.fetch_or(recovered, Ordering::Relaxed);
        Ok(found.filter(|found| recovered || found.result == PurchaseResult::Success))
    }

    /// The users' results from this sale alone, in their order. They come from the orders and the written results in the data
    /// file.
    pub(super) async fn stored(
        &self,
        sale: SaleId,
        product: ProductId,
        users: Vec<UserId>,
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        let now = millis(self.clock.now());
        let stored = self.store.read(move |conn| {
            let of = |user: &UserId| result_in_sale(conn, sale, product, *user, now);
            users.iter().map(of).collect::<QueryResult<_>>()
        });
        let stored = stored.await;
        stored.map_err(|error| GateError::Unknown(error.to_string()))
    }

    /// Deletes each entry that is still stored with the same sale and result.
    pub(super) async fn forget(&self, entries: Vec<ResultEntry>) -> Result<(), GateError> {
        let deleted = self
            .store
            .write(move |conn| delete_unchanged(conn, &entries))
            .await;
        deleted.map_err(|error| GateError::Unknown(error.to_string()))
    }
}

/// Inserts or replaces a result, but never replaces a SUCCESS by a FAILED of the same sale.
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
            .bind::<Text, _>(to_sql(entry.result))
            .bind::<BigInt, _>(expires_at)
            .execute(conn)?;
    }
    Ok(())
}

/// Deletes expired results, which no read returns.
pub(super) fn forget_expired(conn: &mut SqliteConnection, now: i64) -> QueryResult<usize> {
    diesel::delete(results::table.filter(results::expires_at.le(now))).execute(conn)
}

fn find_result(
    conn: &mut SqliteConnection,
    user: UserId,
    product: ProductId,
    mut ordered_sales: Vec<SaleId>,
    now: i64,
) -> QueryResult<Option<StoredResult>> {
    let written = results::table
        .find((user.value(), product.value()))
        .filter(results::expires_at.gt(now))
        .select((results::flash_sale_id, results::result))
        .first::<(i64, String)>(conn)
        .optional()?;
    let written = written.and_then(|(sale, stored)| {
        let result = from_sql(&stored);
        SaleId::new(sale).map(|sale| StoredResult { sale, result })
    });
    if let Some(written) = written
        && written.result == PurchaseResult::Success
    {
        return Ok(Some(written));
    }
    ordered_sales.extend(latest_sale_with_order(conn, user, product)?);
    for sale in ordered_sales {
        let takes_precedence = match written {
            Some(failed) => sort_key(conn, sale)? >= sort_key(conn, failed.sale)?,
            None => true,
        };
        if takes_precedence {
            let result = PurchaseResult::Success;
            return Ok(Some(StoredResult { sale, result }));
        }
    }
    Ok(written)
}

/// The key that sorts the sales of a product by start; they do not overlap. A sale that is not in the data file sorts first.
fn sort_key(conn: &mut SqliteConnection, sale: SaleId) -> QueryResult<(Option<i64>, SaleId)> {
    let start = flash_sales::table
        .find(sale.value())
        .select(flash_sales::start_time)
        .first::<i64>(conn)
        .optional()?;
    Ok((start, sale))
}

/// The shopper's result from one sale: SUCCESS if there is an order, otherwise the written result.
fn result_in_sale(
    conn: &mut SqliteConnection,
    sale: SaleId,
    product: ProductId,
    user: UserId,
    now: i64,
) -> QueryResult<Option<PurchaseResult>> {
    let written = results::table
        .find((user.value(), product.value()))
        .filter(results::expires_at.gt(now))
        .filter(results::flash_sale_id.eq(sale.value()))
        .select(results::result)
        .first::<String>(conn)
        .optional()?;
    let ordered = orders::table
        .find((sale.value(), user.value()))
        .filter(orders::status.eq(SUCCESS))
        .count()
        .get_result::<i64>(conn)?;
    Ok(if ordered > 0 {
        Some(PurchaseResult::Success)
    } else {
        written.map(|stored| from_sql(&stored))
    })
}

fn delete_unchanged(conn: &mut SqliteConnection, entries: &[ResultEntry]) -> QueryResult<()> {
    for entry in entries {
        let unchanged = results::table
            .find((entry.user.value(), entry.product.value()))
            .filter(results::flash_sale_id.eq(entry.sale.value()))
            .filter(results::result.eq(to_sql(entry.result)));
        diesel::delete(unchanged).execute(conn)?;
    }
    Ok(())
}

/// The latest sale of the product in which the shopper has an order.
fn latest_sale_with_order(
    conn: &mut SqliteConnection,
    user: UserId,
    product: ProductId,
) -> QueryResult<Option<SaleId>> {
    let sale = flash_sales::table
        .inner_join(orders::table.on(orders::flash_sale_id.eq(flash_sales::id)))
        .filter(flash_sales::product_id.eq(product.value()))
        .filter(orders::user_id.eq(user.value()))
        .filter(orders::status.eq(SUCCESS))
        .order(flash_sales::start_time.desc())
        .select(flash_sales::id)
        .first::<i64>(conn)
        .optional()?;
    Ok(sale.and_then(SaleId::new))
}

fn to_sql(result: PurchaseResult) -> &'static str {
    match result {
        PurchaseResult::Success => SUCCESS,
        PurchaseResult::Failed => FAILED,
    }
}

/// The CHECK constraint of the column allows no other text.
fn from_sql(stored: &str) -> PurchaseResult {
    if stored == SUCCESS {
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
    use crate::{engine::embedded::DataFile, port::ShopperResults};

    struct TestClock(Mutex<DateTime<Utc>>);

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    #[tokio::test]
    async fn a_result_expires_after_its_time_to_live() {
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
            // Each read is by another process.
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
