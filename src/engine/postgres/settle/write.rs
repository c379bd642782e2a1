//! Writes the orders and the outcomes of attempts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{super::Prepared, columns::column};
use crate::{
    engine::outcome,
    ids::{SaleId, UserId},
    port::Attempt,
    rules::settlement::Fresh,
};

/// A shopper has one row a sale. One that was set to another status by hand makes room for the new order.
const MAKE_ROOM: &str = "
    DELETE FROM orders o USING unnest(?, ?) AS n (flash_sale_id, user_id)
    WHERE o.flash_sale_id = n.flash_sale_id AND o.user_id = n.user_id AND o.status <> 'SUCCESS'";

const INSERT_ORDERS: &str = "
    INSERT INTO orders (id, user_id, product_id, flash_sale_id, status, attempt_id)
    SELECT id, user_id, product_id, flash_sale_id, 'SUCCESS', attempt_id
    FROM unnest(?, ?, ?, ?, ?) AS o (id, user_id, product_id, flash_sale_id, attempt_id)";

const RECORD_ATTEMPTS: &str = "
    INSERT INTO purchase_attempts
        (topic, attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, partition, log_offset)
    SELECT ?, attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, partition, log_offset
    FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)
        AS a (attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, partition, log_offset)";

pub(super) async fn make_room(
    conn: &mut AsyncPgConnection,
    orders: &[Attempt],
    in_the_way: &BTreeSet<(SaleId, UserId)>,
) -> QueryResult<()> {
    if in_the_way.is_empty() {
        return Ok(());
    }
    let mut replaced = orders.to_vec();
    replaced.retain(|order| in_the_way.contains(&(order.sale, order.user)));
    if replaced.is_empty() {
        return Ok(());
    }
    Prepared::new(MAKE_ROOM)
        .bind::<Array<BigInt>, _>(column(&replaced, |order| order.sale.value()))
        .bind::<Array<BigInt>, _>(column(&replaced, |order| order.user.value()))
        .execute(conn)
        .await
        .map(drop)
}

pub(super) async fn write_orders(
    conn: &mut AsyncPgConnection,
    orders: &[Attempt],
) -> QueryResult<()> {
    if orders.is_empty() {
        return Ok(());
    }
    Prepared::new(INSERT_ORDERS)
        .bind::<Array<SqlUuid>, _>(column(orders, |_| Uuid::now_v7()))
        .bind::<Array<BigInt>, _>(column(orders, |attempt| attempt.user.value()))
        .bind::<Array<BigInt>, _>(column(orders, |attempt| attempt.product.value()))
        .bind::<Array<BigInt>, _>(column(orders, |attempt| attempt.sale.value()))
        .bind::<Array<SqlUuid>, _>(column(orders, |attempt| attempt.id.0))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn write_attempts(
    conn: &mut AsyncPgConnection,
    topic: &str,
    mut fresh: Vec<Fresh>,
) -> QueryResult<()> {
    if fresh.is_empty() {
        return Ok(());
    }
    // The attempts are written in the order of their ids, so that two transactions with the same attempts wait for each other
    // instead of deadlocking.
    fresh.sort_unstable_by_key(|fresh| fresh.settlement.attempt.id);
    let attempt = |fresh: &Fresh| fresh.settlement.attempt;
    Prepared::new(RECORD_ATTEMPTS)
        .bind::<Text, _>(topic.to_owned())
        .bind::<Array<SqlUuid>, _>(column(&fresh, |fresh| attempt(fresh).id.0))
        .bind::<Array<BigInt>, _>(column(&fresh, |fresh| attempt(fresh).sale.value()))
        .bind::<Array<BigInt>, _>(column(&fresh, |fresh| attempt(fresh).user.value()))
        .bind::<Array<BigInt>, _>(column(&fresh, |fresh| attempt(fresh).product.value()))
        .bind::<Array<Timestamptz>, _>(column::<_, DateTime<Utc>>(&fresh, |fresh| {
            attempt(fresh).at
        }))
        .bind::<Array<Text>, _>(column(&fresh, |fresh| {
            outcome::to_sql(fresh.settlement.outcome)
        }))
        .bind::<Array<Nullable<Text>>, _>(column(&fresh, |fresh| {
            fresh.cause.as_ref().map(|cause| cause.replace('\0', " "))
        }))
        .bind::<Array<Integer>, _>(column(&fresh, |fresh| fresh.partition.0))
        .bind::<Array<Nullable<BigInt>>, _>(column(&fresh, |fresh| {
            fresh.offset.map(|offset| offset.0)
        }))
        .execute(conn)
        .await?;
    Ok(())
}
