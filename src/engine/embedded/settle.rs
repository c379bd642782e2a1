//! Settles batches in one piece of the store's work, of which all is written or nothing. `rules::settlement` decides what becomes
//! of each attempt; this module reads what it needs to know, and writes its decision down.
//!
//! There is one writer at a time, so that rows which are read here do not change until the decision is written. For every writer
//! alike, the triggers on `orders` take the units. Because of the decision, they never have to refuse an order here.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use diesel::{SqliteConnection, prelude::*, result::Error};

use super::{
    SqliteLedger, admission,
    outcomes::{self, OrderRow},
    results,
    schema::{consumer_partitions, flash_sales, orders, purchase_attempts, users},
    store::WriteError,
    values::{bytes, millis, time},
};
use crate::{
    engine::{number::number, outcome},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, LedgerError, Outcome, PurchaseResult, ResultEntry, SaleWindow, SettleBatch,
        SettleError, Settlement, Settling,
    },
    rules::settlement::{self, Decision, Known, KnownSale},
};

impl From<Error> for SettleError {
    fn from(error: Error) -> Self {
        Self::Ledger(LedgerError(error.to_string()))
    }
}

#[async_trait]
impl Settling for SqliteLedger {
    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        self.write(admission::forget).await
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let batches = batches.to_vec();
        let results_expire_at = self.millis_after_now(self.result_ttl);
        let work = move |conn: &mut SqliteConnection| settle(conn, &batches, results_expire_at);
        match self.store.write(work).await {
            Ok(settlements) => Ok(settlements),
            Err(WriteError::Work(error)) => Err(error),
            Err(WriteError::NotWritten(cause) | WriteError::Unknown(cause)) => {
                Err(LedgerError(cause).into())
            }
        }
    }

    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        let attempts = attempts.to_vec();
        Ok(self
            .store
            .read(move |conn| outcomes::read(conn, &attempts))
            .await?)
    }
}

/// Settles batches. The results of shoppers who got nothing expire at `results_expire_at`.
pub(super) fn settle(
    conn: &mut SqliteConnection,
    batches: &[SettleBatch],
    results_expire_at: i64,
) -> Result<Vec<Vec<Settlement>>, SettleError> {
    for batch in batches {
        if !move_offset(conn, batch)? {
            return Err(SettleError::Fenced);
        }
    }
    let (known, ended) = look_up(conn, &settlement::attempts_of(batches))?;
    let decision = settlement::decide(batches, known).map_err(SettleError::Unsettleable)?;
    write_down(conn, &decision, &ended)?;
    // The gate is told next, and would write these results, too. But it forgets everything when the process ends. After a crash in
    // between, these shoppers could not be told their results.
    let failed: Vec<_> = decision
        .fresh
        .iter()
        .map(|fresh| &fresh.settlement)
        .filter(|settlement| {
            // `Rejected` is included: only this system writes into the file's log, so the attempt's shopper is the one who
            // pressed.
            matches!(
                settlement.outcome,
                Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected
            )
        })
        .map(|settlement| ResultEntry {
            user: settlement.attempt.user,
            product: settlement.attempt.product,
            sale: settlement.attempt.sale,
            result: PurchaseResult::Failed,
        })
        .collect();
    results::write(conn, &failed, results_expire_at)?;
    Ok(decision.settlements)
}

/// Moves the partition's offset, if it is the one that the worker expects. This fences out any other worker.
fn move_offset(conn: &mut SqliteConnection, batch: &SettleBatch) -> QueryResult<bool> {
    let position = &batch.position;
    let moved = diesel::update(
        consumer_partitions::table
            .find((&position.group, &position.topic, position.partition.0))
            .filter(consumer_partitions::next_offset.eq(batch.from.0)),
    )
    .set((
        consumer_partitions::next_offset.eq(batch.to.0),
        consumer_partitions::last_attempt_id.eq(batch.last.as_ref().map(bytes)),
    ))
    .execute(conn)?;
    Ok(moved == 1)
}

/// Shoppers of a sale whose row in `orders` was set to another status than SUCCESS by hand.
type EndedRows = BTreeSet<(SaleId, UserId)>;

fn look_up(conn: &mut SqliteConnection, attempts: &[Attempt]) -> QueryResult<(Known, EndedRows)> {
    let (mut known, mut ended) = (Known::default(), EndedRows::new());
    let sales: BTreeSet<SaleId> = attempts.iter().map(|attempt| attempt.sale).collect();
    for sale in sales {
        let row = flash_sales::table
            .find(sale.value())
            .select((
                flash_sales::product_id,
                flash_sales::remaining_stock,
                flash_sales::admitted_from,
                flash_sales::admitted_until,
                flash_sales::attempts_removed_until,
            ))
            .first::<(i64, i64, Option<i64>, Option<i64>, Option<i64>)>(conn)
            .optional()?;
        if let Some((product, remaining, from, until, removed_until)) = row
            && let Some(product) = ProductId::new(product)
        {
            let admitted = from.zip(until).map(|(from, until)| SaleWindow {
                start: time(from),
                end: time(until),
            });
            let row = KnownSale {
                product,
                remaining: number(remaining),
                admitted,
                attempts_removed_until: removed_until.map(time),
            };
            known.sales.insert(sale, row);
        }
    }
    for attempt in attempts {
        let (sale, user) = (attempt.sale, attempt.user);
        if let Some(settled) = outcomes::find(conn, attempt.id)? {
            known.settled.insert(attempt.id, settled);
        }
        match outcomes::order_row(conn, sale.value(), user.value())? {
            Some(OrderRow::Stands(by)) => drop(known.orders.insert((sale, user), by)),
            Some(OrderRow::Ended) => drop(ended.insert((sale, user))),
            None => {}
        }
        let account = users::table
            .find(user.value())
            .select(users::id)
            .first::<i64>(conn)
            .optional()?;
        if account.is_some() {
            known.users.insert(user);
        }
    }
    Ok((known, ended))
}

fn write_down(
    conn: &mut SqliteConnection,
    decision: &Decision,
    ended: &EndedRows,
) -> QueryResult<()> {
    for order in &decision.orders {
        // A shopper has only one row for a sale, so a row whose order has ended is removed.
        if ended.contains(&(order.sale, order.user)) {
            let row = orders::table.find((order.sale.value(), order.user.value()));
            diesel::delete(row.filter(orders::status.ne("SUCCESS"))).execute(conn)?;
        }
        diesel::insert_into(orders::table)
            .values((
                orders::flash_sale_id.eq(order.sale.value()),
                orders::user_id.eq(order.user.value()),
                orders::product_id.eq(order.product.value()),
                orders::status.eq("SUCCESS"),
                orders::attempt_id.eq(bytes(&order.id)),
            ))
            .execute(conn)?;
    }
    for fresh in &decision.fresh {
        let Settlement { attempt, outcome } = &fresh.settlement;
        diesel::insert_into(purchase_attempts::table)
            .values((
                purchase_attempts::attempt_id.eq(bytes(&attempt.id)),
                purchase_attempts::flash_sale_id.eq(attempt.sale.value()),
                purchase_attempts::user_id.eq(attempt.user.value()),
                purchase_attempts::product_id.eq(attempt.product.value()),
                purchase_attempts::attempted_at.eq(millis(attempt.at)),
                purchase_attempts::outcome.eq(outcome::to_sql(*outcome)),
                purchase_attempts::cause.eq(fresh.cause.as_deref()),
                purchase_attempts::log_offset.eq(fresh.offset.map(|offset| offset.0)),
            ))
            .execute(conn)?;
    }
    Ok(())
}
