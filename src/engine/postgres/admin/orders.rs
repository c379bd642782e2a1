//! Orders and attempts as operators and support staff read them, and orders that they end.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{super::Prepared, idempotency, log, record, sales};
use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        ActionEntry, AdminError, AttemptHistory, Offset, OrderEntry, OrderPage, Partition, Restock,
    },
    rules::{action_log, lifecycle},
};

const FIND: &str = "
    SELECT o.id, o.attempt_id, o.flash_sale_id, o.product_id, o.user_id, o.status::text AS status, o.created_at, o.updated_at,
        p.sku, p.name AS product_name
    FROM orders o LEFT JOIN products p ON p.id = o.product_id WHERE o.attempt_id = ?";

const PAGE: &str = "
    SELECT o.id, o.attempt_id, o.flash_sale_id, o.product_id, o.user_id, o.status::text AS status, o.created_at, o.updated_at,
        p.sku, p.name AS product_name
    FROM (SELECT * FROM orders WHERE flash_sale_id = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?) o
    LEFT JOIN products p ON p.id = o.product_id ORDER BY o.created_at, o.id";

/// The triggers on orders return the unit and note the order in `released_orders`.
const END: &str = "UPDATE orders SET status = 'FAILED', updated_at = now() WHERE attempt_id = ?";

/// The trigger lowers `remaining_stock` by one.
const REMOVE_UNIT: &str = "UPDATE flash_sales SET initial_stock = initial_stock - 1 WHERE id = ?";

const ATTEMPT: &str = "
    SELECT p.attempt_id, p.flash_sale_id, p.product_id, p.user_id, p.attempted_at, p.outcome, p.cause, p.topic, p.partition, p.log_offset,
        p.settled_at, o.id AS order_id, o.status::text AS order_status, o.flash_sale_id AS order_sale, o.product_id AS order_product,
        o.user_id AS order_user, o.created_at AS order_created_at, o.updated_at AS order_updated_at, r.released_at,
        n.sku, n.name AS product_name
    FROM purchase_attempts p
    LEFT JOIN orders o ON o.attempt_id = p.attempt_id
    LEFT JOIN products n ON n.id = o.product_id
    LEFT JOIN released_orders r ON r.attempt_id = p.attempt_id AND r.flash_sale_id = p.flash_sale_id
    WHERE p.attempt_id = ?";

const ATTEMPTS_OF: &str = "
    SELECT p.attempt_id, p.flash_sale_id, p.product_id, p.user_id, p.attempted_at, p.outcome, p.cause, p.topic, p.partition, p.log_offset,
        p.settled_at, o.id AS order_id, o.status::text AS order_status, o.flash_sale_id AS order_sale, o.product_id AS order_product,
        o.user_id AS order_user, o.created_at AS order_created_at, o.updated_at AS order_updated_at, r.released_at,
        n.sku, n.name AS product_name
    FROM (SELECT * FROM purchase_attempts WHERE user_id = ? AND attempt_id < ? ORDER BY attempt_id DESC LIMIT ?) p
    LEFT JOIN orders o ON o.attempt_id = p.attempt_id
    LEFT JOIN products n ON n.id = o.product_id
    LEFT JOIN released_orders r ON r.attempt_id = p.attempt_id AND r.flash_sale_id = p.flash_sale_id
    ORDER BY p.attempt_id DESC";

#[derive(QueryableByName)]
struct OrderRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    sku: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    product_name: Option<String>,
}

impl OrderRow {
    fn entry(self) -> Option<OrderEntry> {
        Some(OrderEntry {
            id: self.id,
            attempt: AttemptId(self.attempt_id),
            sale: SaleId::new(self.flash_sale_id)?,
            product: ProductId::new(self.product_id)?,
            user: UserId::new(self.user_id)?,
            status: self.status,
            created_at: self.created_at,
            updated_at: self.updated_at,
            sku: self.sku.unwrap_or_default(),
            product_name: self.product_name.unwrap_or_default(),
        })
    }
}

#[derive(QueryableByName)]
struct AttemptRow {
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Timestamptz)]
    attempted_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    cause: Option<String>,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    log_offset: Option<i64>,
    #[diesel(sql_type = Timestamptz)]
    settled_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    order_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    order_status: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    order_sale: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    order_product: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    order_user: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    order_created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    order_updated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    released_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    sku: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    product_name: Option<String>,
}

impl AttemptRow {
    fn order(&self) -> Option<OrderEntry> {
        Some(OrderEntry {
            id: self.order_id?,
            attempt: AttemptId(self.attempt_id),
            sale: SaleId::new(self.order_sale?)?,
            product: ProductId::new(self.order_product?)?,
            user: UserId::new(self.order_user?)?,
            status: self.order_status.clone()?,
            created_at: self.order_created_at?,
            updated_at: self.order_updated_at?,
            sku: self.sku.clone().unwrap_or_default(),
            product_name: self.product_name.clone().unwrap_or_default(),
        })
    }

    fn history(self) -> Option<AttemptHistory> {
        Some(AttemptHistory {
            attempt: AttemptId(self.attempt_id),
            sale: SaleId::new(self.flash_sale_id)?,
            product: ProductId::new(self.product_id)?,
            user: UserId::new(self.user_id)?,
            attempted_at: self.attempted_at,
            order: self.order(),
            outcome: self.outcome,
            cause: self.cause,
            topic: self.topic,
            partition: Partition(self.partition),
            offset: self.log_offset.map(Offset),
            settled_at: self.settled_at,
            released_at: self.released_at,
        })
    }
}

async fn find(conn: &mut AsyncPgConnection, attempt: AttemptId) -> Result<OrderEntry, AdminError> {
    let row: Option<OrderRow> = Prepared::new(FIND)
        .bind::<SqlUuid, _>(attempt.0)
        .get_result(conn)
        .await
        .optional()?;
    row.and_then(OrderRow::entry).ok_or(AdminError::NotFound)
}

/// Within a transaction.
pub(super) async fn cancel(
    conn: &mut AsyncPgConnection,
    attempt: AttemptId,
    restock: Restock,
    entry: &ActionEntry,
) -> Result<OrderEntry, AdminError> {
    idempotency::begin(conn, entry).await?;
    // Orders are written only under the lock of their sale. So an order that is read under the lock does not change until the
    // transaction ends.
    let sale = find(conn, attempt).await?.sale;
    sales::lock(conn, sale).await?;
    let before = find(conn, attempt).await?;
    lifecycle::cancel_order(&before.status)?;
    // The log's end is locked before orders are written: a change of a sale's product holds this lock while it waits for
    // transactions that write orders.
    let head = log::lock(conn).await?;
    Prepared::new(END)
        .bind::<SqlUuid, _>(attempt.0)
        .execute(conn)
        .await?;
    if restock == Restock::No && before.status == "SUCCESS" {
        Prepared::new(REMOVE_UNIT)
            .bind::<BigInt, _>(before.sale.value())
            .execute(conn)
            .await?;
    }
    let after = find(conn, attempt).await?;
    let change = action_log::cancelled_order(&before, &after, restock);
    record(conn, head, &change, entry).await?;
    Ok(after)
}

pub(super) async fn page(
    conn: &mut AsyncPgConnection,
    sale: SaleId,
    after: Option<&OrderPage>,
    limit: u32,
) -> QueryResult<Vec<OrderEntry>> {
    let first = (DateTime::UNIX_EPOCH, Uuid::nil());
    let (created_at, id) = after.map_or(first, |page| (page.created_at, page.id));
    let rows: Vec<OrderRow> = Prepared::new(PAGE)
        .bind::<BigInt, _>(sale.value())
        .bind::<Timestamptz, _>(created_at)
        .bind::<SqlUuid, _>(id)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(OrderRow::entry).collect())
}

pub(super) async fn attempt(
    conn: &mut AsyncPgConnection,
    attempt: AttemptId,
) -> QueryResult<Option<AttemptHistory>> {
    let row: Option<AttemptRow> = Prepared::new(ATTEMPT)
        .bind::<SqlUuid, _>(attempt.0)
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.and_then(AttemptRow::history))
}

pub(super) async fn attempts_of(
    conn: &mut AsyncPgConnection,
    user: UserId,
    before: Option<AttemptId>,
    limit: u32,
) -> QueryResult<Vec<AttemptHistory>> {
    let before = before.map_or(Uuid::max(), |before| before.0);
    let rows: Vec<AttemptRow> = Prepared::new(ATTEMPTS_OF)
        .bind::<BigInt, _>(user.value())
        .bind::<SqlUuid, _>(before)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(AttemptRow::history).collect())
}
