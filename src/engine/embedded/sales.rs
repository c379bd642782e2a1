//! Sales as they are read: the catalog, and one sale's state at one moment.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, prelude::*};

use super::{
    SqliteLedger,
    admin::movements,
    schema::{flash_sales, orders, products},
    values::{attempt_id, millis, time},
};
use crate::{
    engine::{number::number, sale_state},
    ids::{ProductId, SaleId, UserId},
    port::{Holder, LedgerError, Offer, SaleListing, SaleListings, SaleSnapshot, SaleWindow},
};

type ListingRow = (
    (i64, i64, String, String),
    (i64, i64, i64, i64, i64),
    (String, Option<i64>),
    (Option<String>, i64, String, Option<i64>),
);

#[async_trait]
impl SaleListings for SqliteLedger {
    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        Ok(self.store.read(move |conn| listings(conn, since)).await?)
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        Ok(self.store.read(move |conn| snapshot(conn, sale)).await?)
    }
}

pub(super) fn listings(
    conn: &mut SqliteConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<SaleListing>> {
    let since = millis(since);
    let last_ended = flash_sales::table
        .filter(
            flash_sales::end_time
                .le(since)
                .and(flash_sales::state.eq("LIVE")),
        )
        .order((flash_sales::end_time.desc(), flash_sales::id.desc()))
        .select(flash_sales::id)
        .first::<i64>(conn)
        .optional()?;
    let rows = flash_sales::table
        .inner_join(products::table)
        .filter(
            flash_sales::end_time
                .gt(since)
                .or(flash_sales::id.eq(last_ended.unwrap_or(0))),
        )
        .filter(
            flash_sales::state.eq("LIVE").or(flash_sales::state
                .eq("CANCELLED")
                // Empty: it was cancelled while it was a draft.
                .and(
                    flash_sales::admitted_from
                        .is_null()
                        .or(flash_sales::admitted_from.le(flash_sales::admitted_until)),
                )),
        )
        .order((flash_sales::start_time, flash_sales::id))
        .select((
            (
                flash_sales::id,
                flash_sales::product_id,
                products::name,
                products::description,
            ),
            (
                flash_sales::start_time,
                flash_sales::end_time,
                flash_sales::initial_stock,
                flash_sales::remaining_stock,
                flash_sales::version,
            ),
            (flash_sales::state, flash_sales::paused_at),
            (
                products::image_url,
                products::price_cents,
                products::currency,
                products::prior_price_cents,
            ),
        ))
        .load::<ListingRow>(conn)?;
    Ok(rows.into_iter().filter_map(listing).collect())
}

fn listing(row: ListingRow) -> Option<SaleListing> {
    let (
        (id, product, product_name, product_description),
        (start, end, initial, remaining, version),
        (state, paused_at),
        (image_url, price_cents, currency, prior_price_cents),
    ) = row;
    Some(SaleListing {
        switch: sale_state::switch(&state, paused_at.is_some()),
        id: SaleId::new(id)?,
        product: ProductId::new(product)?,
        product_name,
        product_description,
        offer: Offer {
            image_url,
            price_cents,
            currency,
            prior_price_cents,
        },
        window: SaleWindow {
            start: time(start),
            end: time(end),
        },
        initial_stock: number(initial),
        remaining_stock: number(remaining),
        version: number(version),
    })
}

/// Must be read at one moment, so that units, holders and withdrawals add up.
pub(super) fn snapshot(
    conn: &mut SqliteConnection,
    sale: SaleId,
) -> QueryResult<Option<SaleSnapshot>> {
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
        .first::<(i64, i64, i64, i64, i64, String, Option<i64>)>(conn)
        .optional()?;
    let Some((version, start, end, initial, remaining, state, paused_at)) = row else {
        return Ok(None);
    };
    let rows = orders::table
        .filter(
            orders::flash_sale_id
                .eq(sale.value())
                .and(orders::status.eq("SUCCESS")),
        )
        .select((orders::user_id, orders::attempt_id))
        .load::<(i64, Vec<u8>)>(conn)?;
    let holders = rows
        .into_iter()
        .filter_map(|(user, attempt)| {
            Some(Holder {
                user: UserId::new(user)?,
                attempt: attempt_id(&attempt)?,
            })
        })
        .collect();
    Ok(Some(SaleSnapshot {
        switch: sale_state::switch(&state, paused_at.is_some()),
        version: number(version),
        window: SaleWindow {
            start: time(start),
            end: time(end),
        },
        initial: number(initial),
        remaining: number(remaining),
        holders,
        movements: movements::pending(conn, &[sale])?,
    }))
}
