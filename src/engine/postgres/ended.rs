//! Orders that have ended and that the gate has not yet taken out. Triggers on `orders` insert the rows.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{PostgresLedger, Prepared};
use crate::{
    ids::{AttemptId, SaleId, UserId},
    port::{EndedOrder, EndedOrders, Holder, LedgerError},
};

/// Leaves out orders with the status SUCCESS: an operator has set the status back by hand. A trigger notes such an order again
/// when it ends anew.
const TO_APPLY: &str = "
    SELECT r.attempt_id, r.flash_sale_id AS sale, r.user_id AS shopper
    FROM unnest(?) AS s (id)
    CROSS JOIN LATERAL (
        SELECT attempt_id, flash_sale_id, user_id FROM released_orders
        WHERE flash_sale_id = s.id AND applied_at IS NULL
            AND NOT EXISTS (SELECT FROM orders o WHERE o.attempt_id = released_orders.attempt_id
                AND o.flash_sale_id = released_orders.flash_sale_id AND o.user_id = released_orders.user_id
                AND o.status = 'SUCCESS')
        LIMIT ?
    ) r";

const UNLISTED: &str = "
    SELECT r.attempt_id, r.flash_sale_id AS sale, r.user_id AS shopper
    FROM released_orders r JOIN flash_sales s ON s.id = r.flash_sale_id
    WHERE r.applied_at IS NULL AND s.end_time <= ?
        AND NOT EXISTS (SELECT FROM orders o WHERE o.attempt_id = r.attempt_id
            AND o.flash_sale_id = r.flash_sale_id AND o.user_id = r.user_id AND o.status = 'SUCCESS')
    LIMIT ?";

const NOTE: &str = "
    UPDATE released_orders r SET applied_at = now()
    FROM unnest(?, ?, ?) AS e (attempt_id, flash_sale_id, user_id)
    WHERE r.attempt_id = e.attempt_id AND r.flash_sale_id = e.flash_sale_id AND r.user_id = e.user_id
        AND r.applied_at IS NULL";

#[derive(QueryableByName)]
struct EndedRow {
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
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
                attempt: AttemptId(self.attempt_id),
            },
        })
    }
}

#[async_trait]
impl EndedOrders for PostgresLedger {
    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        Ok(to_apply(&mut *self.pool.take().await?, sales, limit).await?)
    }

    async fn unlisted_ended_orders(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        Ok(unlisted(&mut *self.pool.take().await?, since, limit).await?)
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        Ok(note(&mut *self.pool.take().await?, orders).await?)
    }
}

pub(super) async fn to_apply(
    conn: &mut AsyncPgConnection,
    sales: &[SaleId],
    limit: u32,
) -> QueryResult<Vec<EndedOrder>> {
    let ids: Vec<i64> = sales.iter().map(|sale| sale.value()).collect();
    let rows: Vec<EndedRow> = Prepared::new(TO_APPLY)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(EndedRow::order).collect())
}

pub(super) async fn unlisted(
    conn: &mut AsyncPgConnection,
    since: DateTime<Utc>,
    limit: u32,
) -> QueryResult<Vec<EndedOrder>> {
    let rows: Vec<EndedRow> = Prepared::new(UNLISTED)
        .bind::<Timestamptz, _>(since)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(EndedRow::order).collect())
}

pub(super) async fn note(conn: &mut AsyncPgConnection, orders: &[EndedOrder]) -> QueryResult<()> {
    let attempts: Vec<Uuid> = orders.iter().map(|order| order.holder.attempt.0).collect();
    let sales: Vec<i64> = orders.iter().map(|order| order.sale.value()).collect();
    let users: Vec<i64> = orders
        .iter()
        .map(|order| order.holder.user.value())
        .collect();
    Prepared::new(NOTE)
        .bind::<Array<SqlUuid>, _>(attempts)
        .bind::<Array<BigInt>, _>(sales)
        .bind::<Array<BigInt>, _>(users)
        .execute(conn)
        .await
        .map(drop)
}
