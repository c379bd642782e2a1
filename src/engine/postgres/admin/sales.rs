//! Sales as operators make and change them.

#![allow(clippy::option_option)] // of a column that may be NULL: `None` leaves it, `Some(None)` makes it NULL

use chrono::{DateTime, SubsecRound, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::time::Instant;

use super::{
    super::{
        Prepared,
        schema::{flash_sales, products},
        values::window,
    },
    idempotency, log, record,
};
use crate::{
    engine::{
        number::{number, to_integer},
        sale_state,
    },
    ids::{ProductId, SaleId},
    port::{
        ActionEntry, ActionName, AdminError, Changed, NewSale, SaleChange, SaleRecord, SaleState,
    },
    rules::{action_log, lifecycle},
};

type Row = (
    (i64, i64, String, Option<DateTime<Utc>>, String),
    (DateTime<Utc>, DateTime<Utc>, i32, i32, i64),
    (DateTime<Utc>, DateTime<Utc>),
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

/// Found by the index of the constraint `flash_sales_no_overlap`.
const OVERLAPPING: &str = "
    SELECT id FROM flash_sales
    WHERE product_id = ? AND state = 'LIVE' AND id <> ? AND tstzrange(start_time, end_time) && tstzrange(?, ?)
    ORDER BY id LIMIT 1";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The columns that change: `None` leaves one as it is. `remaining_stock` follows `initial_stock` by a trigger.
#[derive(AsChangeset)]
#[diesel(table_name = flash_sales)]
struct Update<'a> {
    product_id: Option<i64>,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
    initial_stock: Option<i32>,
    state: Option<&'static str>,
    paused_at: Option<Option<DateTime<Utc>>>,
    note: Option<&'a str>,
}

impl<'a> Update<'a> {
    fn of(before: &SaleRecord, after: &'a SaleRecord) -> Self {
        let (from, to) = (before.window, after.window);
        let stock = to_integer(after.initial_stock);
        let product = after.product;
        Self {
            product_id: (product != before.product).then_some(product.value()),
            start_time: (to.start != from.start).then_some(to.start),
            end_time: (to.end != from.end).then_some(to.end),
            initial_stock: (after.initial_stock != before.initial_stock).then_some(stock),
            state: (after.state != before.state).then(|| sale_state::to_sql(after.state)),
            paused_at: (after.paused_at != before.paused_at).then_some(after.paused_at),
            note: (after.note != before.note).then_some(&after.note),
        }
    }
}

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
        paused_at,
        window: window(start, end),
        initial_stock: number(initial),
        remaining_stock: number(remaining),
        version: number(version),
        note,
        created_at,
        updated_at,
    })
}

pub(super) async fn find(
    conn: &mut AsyncPgConnection,
    id: SaleId,
) -> QueryResult<Option<SaleRecord>> {
    let row = flash_sales::table
        .find(id.value())
        .select(COLUMNS)
        .first::<Row>(conn)
        .await
        .optional()?;
    Ok(row.and_then(read))
}

/// Locks the row as settling does.
pub(super) async fn lock(
    conn: &mut AsyncPgConnection,
    id: SaleId,
) -> Result<SaleRecord, AdminError> {
    let row = flash_sales::table
        .find(id.value())
        .for_no_key_update()
        .select(COLUMNS)
        .first::<Row>(conn)
        .await
        .optional()?;
    row.and_then(read).ok_or(AdminError::NotFound)
}

pub(super) async fn page(
    conn: &mut AsyncPgConnection,
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
    let rows = query.load::<Row>(conn).await?;
    Ok(rows.into_iter().filter_map(read).collect())
}

async fn check_product(conn: &mut AsyncPgConnection, id: ProductId) -> Result<(), AdminError> {
    let found = products::table
        .find(id.value())
        .select(products::id)
        .first::<i64>(conn)
        .await
        .optional()?;
    found.map(drop).ok_or(AdminError::NotFound)
}

/// Fails if another LIVE sale of the product is in the window. One that comes meanwhile violates the constraint, and the change is
/// tried again.
async fn check_overlap(conn: &mut AsyncPgConnection, sale: &SaleRecord) -> Result<(), AdminError> {
    let other: Option<IdRow> = Prepared::new(OVERLAPPING)
        .bind::<BigInt, _>(sale.product.value())
        .bind::<BigInt, _>(sale.id.value())
        .bind::<Timestamptz, _>(sale.window.start)
        .bind::<Timestamptz, _>(sale.window.end)
        .get_result(conn)
        .await
        .optional()?;
    match other.and_then(|row| SaleId::new(row.id)) {
        Some(other) => Err(AdminError::Overlaps { other }),
        None => Ok(()),
    }
}

/// Within a transaction.
pub(super) async fn create(
    conn: &mut AsyncPgConnection,
    new: &NewSale,
    entry: &ActionEntry,
) -> Result<SaleRecord, AdminError> {
    idempotency::begin(conn, entry).await?;
    lifecycle::check_new(new)?;
    check_product(conn, new.product).await?;
    let stock = to_integer(new.units);
    let row = diesel::insert_into(flash_sales::table)
        .values((
            flash_sales::product_id.eq(new.product.value()),
            flash_sales::start_time.eq(new.window.start.trunc_subsecs(3)),
            flash_sales::end_time.eq(new.window.end.trunc_subsecs(3)),
            flash_sales::initial_stock.eq(stock),
            flash_sales::remaining_stock.eq(stock),
            flash_sales::state.eq(sale_state::to_sql(SaleState::Draft)),
            flash_sales::note.eq(&new.note),
        ))
        .returning(COLUMNS)
        .get_result::<Row>(conn)
        .await?;
    let created = read(row).ok_or(AdminError::NotFound)?;
    let head = log::lock(conn).await?;
    let change = action_log::changed_sale(ActionName::CreateSale, None, &created);
    record(conn, head, &change, entry).await?;
    Ok(created)
}

/// The time at which a change was requested.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The time of the gate's clock then.
    pub(super) now: DateTime<Utc>,
    pub(super) at: Instant,
}

impl Asked {
    /// The gate's time now. It is later than `now`, since a change may have waited for its locks or may have been tried before.
    fn gate_time(self) -> DateTime<Utc> {
        self.now + self.at.elapsed()
    }
}

/// Within a transaction.
pub(super) async fn change(
    conn: &mut AsyncPgConnection,
    id: SaleId,
    change: &SaleChange,
    asked: Asked,
    entry: &ActionEntry,
) -> Result<Changed, AdminError> {
    idempotency::begin(conn, entry).await?;
    let before = lock(conn, id).await?;
    let wanted = lifecycle::apply(&before, change, asked.gate_time())?;
    if wanted == before {
        return Ok(Changed {
            after: before.clone(),
            before,
            action: None,
        });
    }
    if wanted.product != before.product {
        check_product(conn, wanted.product).await?;
    }
    if wanted.state == SaleState::Live {
        check_overlap(conn, &wanted).await?;
    }
    let row = diesel::update(flash_sales::table.find(id.value()))
        .set((
            Update::of(&before, &wanted),
            flash_sales::updated_at.eq(diesel::dsl::now),
        ))
        .returning(COLUMNS)
        .get_result::<Row>(conn)
        .await?;
    let after = read(row).ok_or(AdminError::NotFound)?;
    let head = log::lock(conn).await?;
    let name = lifecycle::action(change);
    let described = action_log::changed_sale(name, Some(&before), &after);
    let action = record(conn, head, &described, entry).await?;
    Ok(Changed {
        before,
        after,
        action: Some(action),
    })
}
