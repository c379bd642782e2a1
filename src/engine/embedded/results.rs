//! What shoppers are told who hold no unit, kept in the data file. Who holds one is told by the gate; once the gate has
//! forgotten the sale, by the order.

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
    ids::{ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, ResultEntry},
};

const FAILED: &str = "FAILED";
const SUCCESS: &str = "SUCCESS";

/// The results of a data file.
#[derive(Clone)]
pub(super) struct ResultStore {
    store: Store,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    /// Where the log ended when this process started.
    inherited: i64,
    /// True once all before that is settled.
    recovered: Arc<AtomicBool>,
}

/// What is told of a product, and the sale that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredResult {
    pub(super) sale: SaleId,
    pub(super) result: PurchaseResult,
}

impl ResultStore {
    /// `inherited` is where the log ends that an earlier process left.
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, ttl: Duration, inherited: i64) -> Self {
        Self {
            store,
            clock,
            ttl,
            inherited,
            recovered: Arc::default(),
        }
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

    /// What was written, and the shopper's orders: those in the file, and in the sales of `ordered`. An order counts before a
    /// FAILED of its sale or an earlier one. No FAILED is told before all that an earlier process accepted is settled: the
    /// shopper may be among those.
    pub(super) async fn read(
        &self,
        user: UserId,
        product: ProductId,
        ordered: Vec<SaleId>,
    ) -> Result<Option<StoredResult>, GateError> {
        let (now, inherited) = (millis(self.clock.now()), self.inherited);
        let recovered = self.recovered.load(Ordering::Relaxed);
        let read = self.store.read(move |conn| {
            let recovered = recovered || log::settled(conn)? >= inherited;
            Ok((recovered, read(conn, user, product, ordered, now)?))
        });
        let (recovered, told) = read
            .await
            .map_err(|error| GateError::Unknown(error.to_string()))?;
        self.recovered.fetch_or(recovered, Ordering::Relaxed);
        Ok(told.filter(|told| recovered || told.result == PurchaseResult::Success))
    }

    /// What the file would tell of this sale alone, order or result.
    pub(super) async fn stored(
        &self,
        sale: SaleId,
        product: ProductId,
        users: Vec<UserId>,
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        let now = millis(self.clock.now());
        let stored = self.store.read(move |conn| {
            let of = |user: &UserId| stored(conn, sale, product, *user, now);
            users.iter().map(of).collect::<QueryResult<_>>()
        });
        let stored = stored.await;
        stored.map_err(|error| GateError::Unknown(error.to_string()))
    }

    /// Forgets those that still stand like this.
    pub(super) async fn forget(&self, entries: Vec<ResultEntry>) -> Result<(), GateError> {
        let forgotten = self.store.write(move |conn| forget(conn, &entries)).await;
        forgotten.map_err(|error| GateError::Unknown(error.to_string()))
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
            .bind::<Text, _>(to_sql(entry.result))
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
    mut ordered: Vec<SaleId>,
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
    if let Some(told) = written
        && told.result == PurchaseResult::Success
    {
        return Ok(written);
    }
    ordered.extend(latest_order(conn, user, product)?);
    for sale in ordered {
        let stands = match written {
            Some(failed) => place(conn, sale)? >= place(conn, failed.sale)?,
            None => true,
        };
        if stands {
            let result = PurchaseResult::Success;
            return Ok(Some(StoredResult { sale, result }));
        }
    }
    Ok(written)
}

/// What sales of a product are ordered by: they do not overlap, and unknown ones are older than all.
fn place(conn: &mut SqliteConnection, sale: SaleId) -> QueryResult<(Option<i64>, SaleId)> {
    let start = flash_sales::table
        .find(sale.value())
        .select(flash_sales::start_time)
        .first::<i64>(conn)
        .optional()?;
    Ok((start, sale))
}

fn stored(
    conn: &mut SqliteConnection,
    sale: SaleId,
    product: ProductId,
    user: UserId,
    now: i64,
) -> QueryResult<Option<PurchaseResult>> {
    let of_sale = results::table
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
        of_sale.map(|stored| from_sql(&stored))
    })
}

fn forget(conn: &mut SqliteConnection, entries: &[ResultEntry]) -> QueryResult<()> {
    for entry in entries {
        let standing = results::table
            .find((entry.user.value(), entry.product.value()))
            .filter(results::flash_sale_id.eq(entry.sale.value()))
            .filter(results::result.eq(to_sql(entry.result)));
        diesel::delete(standing).execute(conn)?;
    }
    Ok(())
}

/// The latest sale of the product in which the shopper has an order.
fn latest_order(
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

/// The check on the column allows no other text.
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
