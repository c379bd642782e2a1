//! Orders that have ended and that the gate has not yet taken out. Triggers on `orders` insert the rows.

use async_trait::async_trait;
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Uuid as SqlUuid},
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

#[async_trait]
impl EndedOrders for PostgresLedger {
    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        Ok(to_apply(&mut *self.pool.take().await?, sales, limit).await?)
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
    let ended = |row: EndedRow| {
        Some(EndedOrder {
            sale: SaleId::new(row.sale)?,
            holder: Holder {
                user: UserId::new(row.shopper)?,
                attempt: AttemptId(row.attempt_id),
            },
        })
    };
    Ok(rows.into_iter().filter_map(ended).collect())
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
