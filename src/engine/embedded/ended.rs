//! Orders that have ended and that the gate has not yet taken out. Triggers on `orders` insert the rows.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary},
};

use super::{
    Prepared, SqliteLedger,
    values::{attempt_id, bytes, millis},
};
use crate::{
    ids::{SaleId, UserId},
    port::{EndedOrder, EndedOrders, Holder, LedgerError},
};

/// Leaves out orders with the status SUCCESS: an operator has set the status back by hand. A trigger notes such an order again
/// when it ends anew.
const TO_APPLY: &str = "
    SELECT attempt_id, flash_sale_id AS sale, user_id AS shopper FROM released_orders r
    WHERE flash_sale_id = ? AND applied_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.attempt_id = r.attempt_id
            AND o.flash_sale_id = r.flash_sale_id AND o.user_id = r.user_id AND o.status = 'SUCCESS')
    LIMIT ?";

const UNLISTED: &str = "
    SELECT r.attempt_id, r.flash_sale_id AS sale, r.user_id AS shopper
    FROM released_orders r JOIN flash_sales s ON s.id = r.flash_sale_id
    WHERE r.applied_at IS NULL AND s.end_time <= ?
        AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.attempt_id = r.attempt_id
            AND o.flash_sale_id = r.flash_sale_id AND o.user_id = r.user_id AND o.status = 'SUCCESS')
    LIMIT ?";

const NOTE: &str = "
    UPDATE released_orders SET applied_at = ?
    WHERE attempt_id = ? AND flash_sale_id = ? AND user_id = ? AND applied_at IS NULL";

#[derive(QueryableByName)]
struct EndedRow {
    #[diesel(sql_type = Binary)]
    attempt_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    sale: i64,
    #[diesel(sql_type = BigInt)]
    shopper: i64,
}

impl EndedRow {
    fn order(self) -> Option<EndedOrder> {
        Some(EndedOrder {
            sale: SaleId::new(self.sale)?,
            holder: Holder {
                user: UserId::new(self.shopper)?,
                attempt: attempt_id(&self.attempt_id)?,
            },
        })
    }
}

#[async_trait]
impl EndedOrders for SqliteLedger {
    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let sales = sales.to_vec();
        Ok(self
            .store
            .read(move |conn| to_apply(conn, &sales, limit))
            .await?)
    }

    async fn unlisted_ended_orders(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let work = move |conn: &mut SqliteConnection| unlisted(conn, since, limit);
        Ok(self.store.read(work).await?)
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        let (orders, now) = (orders.to_vec(), millis(self.clock.now()));
        self.write(move |conn| note(conn, &orders, now)).await
    }
}

pub(super) fn to_apply(
    conn: &mut SqliteConnection,
    sales: &[SaleId],
    limit: u32,
) -> QueryResult<Vec<EndedOrder>> {
    let mut ended = Vec::new();
    for sale in sales {
        let rows: Vec<EndedRow> = Prepared::new(TO_APPLY)
            .bind::<BigInt, _>(sale.value())
            .bind::<BigInt, _>(i64::from(limit))
            .load(conn)?;
        ended.extend(rows.into_iter().filter_map(EndedRow::order));
    }
    Ok(ended)
}

pub(super) fn unlisted(
    conn: &mut SqliteConnection,
    since: DateTime<Utc>,
    limit: u32,
) -> QueryResult<Vec<EndedOrder>> {
    let rows: Vec<EndedRow> = Prepared::new(UNLISTED)
        .bind::<BigInt, _>(millis(since))
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
    Ok(rows.into_iter().filter_map(EndedRow::order).collect())
}

pub(super) fn note(
    conn: &mut SqliteConnection,
    orders: &[EndedOrder],
    now: i64,
) -> QueryResult<()> {
    for order in orders {
        Prepared::new(NOTE)
            .bind::<BigInt, _>(now)
            .bind::<Binary, _>(bytes(&order.holder.attempt).to_vec())
            .bind::<BigInt, _>(order.sale.value())
            .bind::<BigInt, _>(order.holder.user.value())
            .execute(conn)?;
    }
    Ok(())
}
