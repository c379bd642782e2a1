//! Sales with their products, and what is left of them.

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult, QueryableByName,
    result::Error,
    sql_query,
    sql_types::{BigInt, Integer, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    ids::{AttemptId, SaleId},
    port::{Holder, SaleListing, SaleSnapshot, SaleWindow},
};

#[derive(QueryableByName)]
struct SaleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Timestamptz)]
    start_time: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    end_time: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    initial_stock: i32,
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
}

#[derive(QueryableByName)]
struct RemainingRow {
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
}

#[derive(QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    attempt_id: Uuid,
}

/// All sales that end after `since`, and the last one that ended before.
pub(super) async fn since(
    connection: &mut AsyncPgConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<SaleListing>> {
    let rows = sql_query(
        "SELECT s.id, s.product_id, p.name, p.description, s.start_time, s.end_time, s.initial_stock, s.remaining_stock \
         FROM flash_sales s JOIN products p ON p.id = s.product_id \
         WHERE s.end_time > $1 \
            OR s.id = (SELECT id FROM flash_sales WHERE end_time <= $1 ORDER BY end_time DESC, id DESC LIMIT 1) \
         ORDER BY s.start_time, s.id",
    )
    .bind::<Timestamptz, _>(since)
    .load::<SaleRow>(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SaleListing {
                id: positive(row.id)?,
                product: positive(row.product_id)?,
                product_name: row.name,
                product_description: row.description,
                window: SaleWindow {
                    start: millis(row.start_time),
                    end: millis(row.end_time),
                },
                initial_stock: units(row.initial_stock),
                remaining_stock: units(row.remaining_stock),
            })
        })
        .collect()
}

/// Units and holders as of one moment.
pub(super) async fn snapshot(
    connection: &mut AsyncPgConnection,
    sale: SaleId,
) -> QueryResult<Option<SaleSnapshot>> {
    connection
        .build_transaction()
        .repeatable_read()
        .read_only()
        .run(async |connection| {
            let remaining = sql_query("SELECT remaining_stock FROM flash_sales WHERE id = $1")
                .bind::<BigInt, _>(sale.value())
                .get_result::<RemainingRow>(connection)
                .await
                .optional()?;
            let Some(remaining) = remaining else { return Ok(None) };
            let rows = sql_query("SELECT user_id, attempt_id FROM orders WHERE flash_sale_id = $1 AND status = 'SUCCESS'")
                .bind::<BigInt, _>(sale.value())
                .load::<HolderRow>(connection)
                .await?;
            let holders = rows
                .into_iter()
                .map(|row| Ok(Holder { user: positive(row.user_id)?, attempt: AttemptId(row.attempt_id) }))
                .collect::<QueryResult<_>>()?;
            Ok(Some(SaleSnapshot { remaining: units(remaining.remaining_stock), holders }))
        })
        .await
}

/// An id as the database has it.
pub(super) fn positive<T: TryFrom<i64>>(value: i64) -> QueryResult<T> {
    T::try_from(value)
        .map_err(|_| Error::DeserializationError(format!("{value} is not an id").into()))
}

/// A number of units; the table's checks keep it from being negative.
pub(super) fn units(value: i32) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Everything else counts in milliseconds: a window must compare equal to itself when it comes back from the gate.
fn millis(time: DateTime<Utc>) -> DateTime<Utc> {
    chrono::SubsecRound::trunc_subsecs(time, 3)
}
