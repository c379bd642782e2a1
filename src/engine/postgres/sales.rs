//! Sales as they are read: the catalog, and one sale's state at one moment.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{PostgresLedger, Prepared, admin::movements, schema::flash_sales, values::window};
use crate::{
    engine::{number::number, sale_state},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Holder, LedgerError, Offer, SaleListing, SaleListings, SaleSnapshot},
};

/// A sale with an empty admission window was cancelled while it was a draft.
const LISTING: &str = "
    SELECT s.id, s.product_id, p.name, p.description, s.start_time, s.end_time, s.initial_stock, s.remaining_stock, s.version,
        s.state, s.paused_at IS NOT NULL AS is_paused, p.image_url, p.price_cents, p.currency, p.prior_price_cents
    FROM flash_sales s JOIN products p ON p.id = s.product_id
    WHERE (s.state = 'LIVE' OR s.state = 'CANCELLED' AND (s.admitted_from > s.admitted_until) IS NOT TRUE)
        AND (s.end_time > ?
        OR s.id = (SELECT id FROM flash_sales WHERE end_time <= ? AND state = 'LIVE' ORDER BY end_time DESC, id DESC LIMIT 1))
    ORDER BY s.start_time, s.id";

const HOLDERS: &str =
    "SELECT user_id, attempt_id FROM orders WHERE flash_sale_id = ? AND status = 'SUCCESS'";

#[derive(QueryableByName)]
struct ListingRow {
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
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Bool)]
    is_paused: bool,
    #[diesel(sql_type = Nullable<Text>)]
    image_url: Option<String>,
    #[diesel(sql_type = BigInt)]
    price_cents: i64,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    prior_price_cents: Option<i64>,
}

#[derive(QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
}

#[async_trait]
impl SaleListings for PostgresLedger {
    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        Ok(listings(&mut *self.pool.take().await?, since).await?)
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        Ok(snapshot(&mut *self.pool.take().await?, sale).await?)
    }
}

pub(super) async fn listings(
    conn: &mut AsyncPgConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<SaleListing>> {
    let rows: Vec<ListingRow> = Prepared::new(LISTING)
        .bind::<Timestamptz, _>(since)
        .bind::<Timestamptz, _>(since)
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(SaleListing {
                switch: sale_state::switch(&row.state, row.is_paused),
                id: SaleId::new(row.id)?,
                product: ProductId::new(row.product_id)?,
                product_name: row.name,
                product_description: row.description,
                offer: Offer {
                    image_url: row.image_url,
                    price_cents: row.price_cents,
                    currency: row.currency,
                    prior_price_cents: row.prior_price_cents,
                },
                window: window(row.start_time, row.end_time),
                initial_stock: number(row.initial_stock),
                remaining_stock: number(row.remaining_stock),
                version: number(row.version),
            })
        })
        .collect())
}

/// All reads see one moment, so that units and holders add up.
pub(super) async fn snapshot(
    conn: &mut AsyncPgConnection,
    sale: SaleId,
) -> QueryResult<Option<SaleSnapshot>> {
    conn.build_transaction()
        .repeatable_read()
        .read_only()
        .run(async |conn| {
            let row = flash_sales::table
                .find(sale.value())
                .select((
                    flash_sales::version,
                    flash_sales::start_time,
                    flash_sales::end_time,
                    flash_sales::initial_stock,
                    flash_sales::remaining_stock,
                    flash_sales::state,
                    flash_sales::paused_at,
                ))
                .first::<(
                    i64,
                    DateTime<Utc>,
                    DateTime<Utc>,
                    i32,
                    i32,
                    String,
                    Option<DateTime<Utc>>,
                )>(conn)
                .await
                .optional()?;
            let Some((version, start, end, initial, remaining, state, paused_at)) = row else {
                return Ok(None);
            };
            let rows: Vec<HolderRow> = Prepared::new(HOLDERS)
                .bind::<BigInt, _>(sale.value())
                .load(conn)
                .await?;
            let holders = rows
                .into_iter()
                .filter_map(|row| {
                    Some(Holder {
                        user: UserId::new(row.user_id)?,
                        attempt: AttemptId(row.attempt_id),
                    })
                })
                .collect();
            Ok(Some(SaleSnapshot {
                switch: sale_state::switch(&state, paused_at.is_some()),
                version: number(version),
                window: window(start, end),
                initial: number(initial),
                remaining: number(remaining),
                holders,
                movements: movements::pending(conn, &[sale]).await?,
            }))
        })
        .await
}
