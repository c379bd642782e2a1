//! Sales as operators make and change them.

use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, prelude::*};

use super::{
    super::{
        schema::{flash_sales, products},
        values::{millis, time},
    },
    idempotency, record,
};
use crate::{
    engine::{
        number::{number, to_bigint},
        sale_state,
    },
    ids::{ProductId, SaleId},
    port::{
        ActionEntry, ActionName, AdminError, Changed, NewSale, SaleChange, SaleRecord, SaleState,
        SaleWindow,
    },
    rules::{action_log, lifecycle},
};

type Row = (
    (i64, i64, String, Option<i64>, String),
    (i64, i64, i64, i64, i64),
    (i64, Option<i64>),
);

type Columns = (
    (
        flash_sales::id,
        flash_sales::product_id,
        flash_sales::state,
        flash_sales::paused_at,
        flash_sales::note,
    ),
    (
        flash_sales::start_time,
        flash_sales::end_time,
        flash_sales::initial_stock,
        flash_sales::remaining_stock,
        flash_sales::version,
    ),
    (flash_sales::created_at, flash_sales::updated_at),
);

const COLUMNS: Columns = (
    (
        flash_sales::id,
        flash_sales::product_id,
        flash_sales::state,
        flash_sales::paused_at,
        flash_sales::note,
    ),
    (
        flash_sales::start_time,
        flash_sales::end_time,
        flash_sales::initial_stock,
        flash_sales::remaining_stock,
        flash_sales::version,
    ),
    (flash_sales::created_at, flash_sales::updated_at),
);

fn read(row: Row) -> Option<SaleRecord> {
    let (
        (id, product, state, paused_at, note),
        (start, end, initial, remaining, version),
        (created_at, updated_at),
    ) = row;
    Some(SaleRecord {
        id: SaleId::new(id)?,
        product: ProductId::new(product)?,
        state: sale_state::from_sql(&state),
        paused_at: paused_at.map(time),
        window: SaleWindow {
            start: time(start),
            end: time(end),
        },
        initial_stock: number(initial),
        remaining_stock: number(remaining),
        version: number(version),
        note,
        created_at: time(created_at),
        updated_at: time(updated_at.unwrap_or(created_at)),
    })
}

pub(super) fn find(conn: &mut SqliteConnection, id: SaleId) -> QueryResult<Option<SaleRecord>> {
    let row = flash_sales::table
        .find(id.value())
        .select(COLUMNS)
        .first::<Row>(conn)
        .optional()?;
    Ok(row.and_then(read))
}

pub(super) fn page(
    conn: &mut SqliteConnection,
    product: Option<ProductId>,
    before: Option<SaleId>,
    limit: u32,
) -> QueryResult<Vec<SaleRecord>> {
    let mut query = flash_sales::table
        .filter(flash_sales::id.lt(before.map_or(i64::MAX, SaleId::value)))
        .order(flash_sales::id.desc())
        .limit(i64::from(limit))
        .select(COLUMNS)
        .into_boxed();
    if let Some(product) = product {
        query = query.filter(flash_sales::product_id.eq(product.value()));
    }
    let rows = query.load::<Row>(conn)?;
    Ok(rows.into_iter().filter_map(read).collect())
}

fn check_product(conn: &mut SqliteConnection, id: ProductId) -> Result<(), AdminError> {
    let found = products::table
        .find(id.value())
        .select(products::id)
        .first::<i64>(conn)
        .optional()?;
    found.map(drop).ok_or(AdminError::NotFound)
}

/// Fails if another LIVE sale of the product is in the window.
fn check_overlap(conn: &mut SqliteConnection, sale: &SaleRecord) -> Result<(), AdminError> {
    let other = flash_sales::table
        .filter(flash_sales::product_id.eq(sale.product.value()))
        .filter(flash_sales::state.eq("LIVE"))
        .filter(flash_sales::id.ne(sale.id.value()))
        .filter(flash_sales::start_time.lt(millis(sale.window.end)))
        .filter(flash_sales::end_time.gt(millis(sale.window.start)))
        .order(flash_sales::id)
        .select(flash_sales::id)
        .first::<i64>(conn)
        .optional()?;
    match other.and_then(SaleId::new) {
        Some(other) => Err(AdminError::Overlaps { other }),
        None => Ok(()),
    }
}

pub(super) fn create(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    new: &NewSale,
    entry: &ActionEntry,
) -> Result<SaleRecord, AdminError> {
    idempotency::begin(conn, now, entry)?;
    lifecycle::check_new(new)?;
    check_product(conn, new.product)?;
    let stock = i64::from(new.units);
    let id = diesel::insert_into(flash_sales::table)
        .values((
            flash_sales::product_id.eq(new.product.value()),
            flash_sales::start_time.eq(millis(new.window.start)),
            flash_sales::end_time.eq(millis(new.window.end)),
            flash_sales::initial_stock.eq(stock),
            flash_sales::remaining_stock.eq(stock),
            flash_sales::state.eq(sale_state::to_sql(SaleState::Draft)),
            flash_sales::note.eq(&new.note),
        ))
        .returning(flash_sales::id)
        .get_result::<i64>(conn)?;
    let id = SaleId::new(id).ok_or(AdminError::NotFound)?;
    let created = find(conn, id)?.ok_or(AdminError::NotFound)?;
    let change = action_log::changed_sale(ActionName::CreateSale, None, &created);
    record(conn, now, &change, entry)?;
    Ok(created)
}

/// `now` is the gate's time, `written_at` that of the entry.
pub(super) fn change(
    conn: &mut SqliteConnection,
    written_at: DateTime<Utc>,
    id: SaleId,
    change: &SaleChange,
    now: DateTime<Utc>,
    entry: &ActionEntry,
) -> Result<Changed, AdminError> {
    idempotency::begin(conn, written_at, entry)?;
    let before = find(conn, id)?.ok_or(AdminError::NotFound)?;
    let wanted = lifecycle::apply(&before, change, now)?;
    if wanted == before {
        return Ok(Changed {
            after: before.clone(),
            before,
            action: None,
        });
    }
    if wanted.product != before.product {
        check_product(conn, wanted.product)?;
    }
    if wanted.state == SaleState::Live {
        check_overlap(conn, &wanted)?;
    }
    diesel::update(flash_sales::table.find(id.value()))
        .set((
            flash_sales::product_id.eq(wanted.product.value()),
            flash_sales::start_time.eq(millis(wanted.window.start)),
            flash_sales::end_time.eq(millis(wanted.window.end)),
            flash_sales::initial_stock.eq(to_bigint(wanted.initial_stock)),
            flash_sales::remaining_stock.eq(to_bigint(wanted.remaining_stock)),
            flash_sales::state.eq(sale_state::to_sql(wanted.state)),
            flash_sales::paused_at.eq(wanted.paused_at.map(millis)),
            flash_sales::note.eq(&wanted.note),
        ))
        .execute(conn)?;
    let after = find(conn, id)?.ok_or(AdminError::NotFound)?;
    let name = lifecycle::action(change);
    let described = action_log::changed_sale(name, Some(&before), &after);
    let action = record(conn, written_at, &described, entry)?;
    Ok(Changed {
        before,
        after,
        action: Some(action),
    })
}
