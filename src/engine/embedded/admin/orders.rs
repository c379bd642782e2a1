//! Orders and attempts as operators and support staff read them, and orders that they end.
//!
//! An order has the id of its attempt here, and the time of its last change is the time when it ended.

use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use uuid::Uuid;

use super::{
    super::{
        Prepared,
        log::NAME,
        values::{attempt_id, bytes, millis, time},
    },
    idempotency, record,
};
use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        ActionEntry, AdminError, AttemptHistory, Offset, OrderEntry, OrderPage, Partition, Restock,
    },
    rules::{action_log, lifecycle},
};

const FIND: &str = "
    SELECT o.attempt_id, o.flash_sale_id, o.product_id, o.user_id, o.status, o.created_at, r.released_at,
        p.sku, p.name AS product_name
    FROM orders o LEFT JOIN released_orders r ON r.attempt_id = o.attempt_id AND r.flash_sale_id = o.flash_sale_id
    LEFT JOIN products p ON p.id = o.product_id
    WHERE o.attempt_id = ?";

const PAGE: &str = "
    SELECT o.attempt_id, o.flash_sale_id, o.product_id, o.user_id, o.status, o.created_at, r.released_at,
        p.sku, p.name AS product_name
    FROM orders o LEFT JOIN released_orders r ON r.attempt_id = o.attempt_id AND r.flash_sale_id = o.flash_sale_id
    LEFT JOIN products p ON p.id = o.product_id
    WHERE o.flash_sale_id = ? AND (o.created_at, o.attempt_id) > (?, ?) ORDER BY o.created_at, o.attempt_id LIMIT ?";

/// The triggers on orders return the unit and note the order in `released_orders`.
const END: &str = "UPDATE orders SET status = 'FAILED' WHERE attempt_id = ?";

/// Both columns: SQLite checks that `remaining_stock` is not above `initial_stock` before a trigger can follow.
const REMOVE_UNIT: &str = "
    UPDATE flash_sales SET initial_stock = initial_stock - 1, remaining_stock = remaining_stock - 1 WHERE id = ?";

const ATTEMPT: &str = "
    SELECT p.*, r.released_at FROM purchase_attempts p
    LEFT JOIN released_orders r ON r.attempt_id = p.attempt_id AND r.flash_sale_id = p.flash_sale_id
    WHERE p.attempt_id = ?";

const ATTEMPTS_OF: &str = "
    SELECT p.*, r.released_at FROM purchase_attempts p
    LEFT JOIN released_orders r ON r.attempt_id = p.attempt_id AND r.flash_sale_id = p.flash_sale_id
    WHERE p.user_id = ? AND p.attempt_id < ? ORDER BY p.attempt_id DESC LIMIT ?";

#[derive(QueryableByName)]
struct OrderRow {
    #[diesel(sql_type = Binary)]
    attempt_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    released_at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    sku: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    product_name: Option<String>,
}

impl OrderRow {
    fn entry(self) -> Option<OrderEntry> {
        let attempt = attempt_id(&self.attempt_id)?;
        Some(OrderEntry {
            id: attempt.0,
            attempt,
            sale: SaleId::new(self.flash_sale_id)?,
            product: ProductId::new(self.product_id)?,
            user: UserId::new(self.user_id)?,
            status: self.status,
            created_at: time(self.created_at),
            updated_at: time(self.released_at.unwrap_or(self.created_at)),
            sku: self.sku.unwrap_or_default(),
            product_name: self.product_name.unwrap_or_default(),
        })
    }
}

#[derive(QueryableByName)]
struct AttemptRow {
    #[diesel(sql_type = Binary)]
    attempt_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = BigInt)]
    attempted_at: i64,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    cause: Option<String>,
    #[diesel(sql_type = BigInt)]
    settled_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    log_offset: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    released_at: Option<i64>,
}

fn history(conn: &mut SqliteConnection, row: AttemptRow) -> QueryResult<Option<AttemptHistory>> {
    let ids = (
        attempt_id(&row.attempt_id),
        SaleId::new(row.flash_sale_id),
        ProductId::new(row.product_id),
        UserId::new(row.user_id),
    );
    let (Some(attempt), Some(sale), Some(product), Some(user)) = ids else {
        return Ok(None);
    };
    Ok(Some(AttemptHistory {
        attempt,
        sale,
        product,
        user,
        attempted_at: time(row.attempted_at),
        outcome: row.outcome,
        cause: row.cause,
        topic: NAME.to_owned(),
        partition: Partition(0),
        offset: row.log_offset.map(Offset),
        settled_at: time(row.settled_at),
        order: order(conn, attempt)?,
        released_at: row.released_at.map(time),
    }))
}

fn order(conn: &mut SqliteConnection, attempt: AttemptId) -> QueryResult<Option<OrderEntry>> {
    let row: Option<OrderRow> = Prepared::new(FIND)
        .bind::<Binary, _>(bytes(&attempt).to_vec())
        .get_result(conn)
        .optional()?;
    Ok(row.and_then(OrderRow::entry))
}

pub(super) fn cancel(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    attempt: AttemptId,
    restock: Restock,
    entry: &ActionEntry,
) -> Result<OrderEntry, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let before = order(conn, attempt)?.ok_or(AdminError::NotFound)?;
    lifecycle::cancel_order(&before.status)?;
    Prepared::new(END)
        .bind::<Binary, _>(bytes(&attempt).to_vec())
        .execute(conn)?;
    if restock == Restock::No && before.status == "SUCCESS" {
        Prepared::new(REMOVE_UNIT)
            .bind::<BigInt, _>(before.sale.value())
            .execute(conn)?;
    }
    let after = order(conn, attempt)?.ok_or(AdminError::NotFound)?;
    let change = action_log::cancelled_order(&before, &after, restock);
    record(conn, now, &change, entry)?;
    Ok(after)
}

pub(super) fn page(
    conn: &mut SqliteConnection,
    sale: SaleId,
    after: Option<OrderPage>,
    limit: u32,
) -> QueryResult<Vec<OrderEntry>> {
    let (created_at, id) = after.map_or((i64::MIN, Uuid::nil()), |page| {
        (millis(page.created_at), page.id)
    });
    let rows: Vec<OrderRow> = Prepared::new(PAGE)
        .bind::<BigInt, _>(sale.value())
        .bind::<BigInt, _>(created_at)
        .bind::<Binary, _>(id.as_bytes().to_vec())
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
    Ok(rows.into_iter().filter_map(OrderRow::entry).collect())
}

pub(super) fn attempt(
    conn: &mut SqliteConnection,
    attempt: AttemptId,
) -> QueryResult<Option<AttemptHistory>> {
    let row: Option<AttemptRow> = Prepared::new(ATTEMPT)
        .bind::<Binary, _>(bytes(&attempt).to_vec())
        .get_result(conn)
        .optional()?;
    row.map_or(Ok(None), |row| history(conn, row))
}

/// Reads all attempts.
pub(super) fn attempts_of(
    conn: &mut SqliteConnection,
    user: UserId,
    before: Option<AttemptId>,
    limit: u32,
) -> QueryResult<Vec<AttemptHistory>> {
    let before = before.map_or([u8::MAX; 16], |before| *before.0.as_bytes());
    let rows: Vec<AttemptRow> = Prepared::new(ATTEMPTS_OF)
        .bind::<BigInt, _>(user.value())
        .bind::<Binary, _>(before.to_vec())
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
    let mut attempts = Vec::with_capacity(rows.len());
    for row in rows {
        attempts.extend(history(conn, row)?);
    }
    Ok(attempts)
}
