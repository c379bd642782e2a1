//! Reads all rows of an export from the data file, page by page.

use diesel::{SqliteConnection, prelude::*};
use uuid::Uuid;

use super::{
    DataFile, OpenError,
    schema::{external_identities, flash_sales, orders, products, users},
    values::time,
};
use crate::engine::transfer::{IdentityRow, Line, OrderRow, ProductRow, SaleRow, UserRow};

/// Maximum number of rows that one query reads.
const PAGE: i64 = 10_000;

/// Why an export was not finished.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    File(#[from] OpenError),
    #[error("writing the export: {0}")]
    Write(#[from] std::io::Error),
    #[error("reading the data file: {0}")]
    Sql(#[from] diesel::result::Error),
}

type Sink<'a> = dyn FnMut(&Line) -> std::io::Result<()> + 'a;

impl DataFile {
    /// Passes all users, products, sales and orders to `sink`, in this order and each sorted by its key. All are of one snapshot.
    pub fn export(&mut self, sink: &mut Sink<'_>) -> Result<(), ExportError> {
        self.conn.transaction(|conn| {
            pages(sink, |after| user_page(conn, after))?;
            pages(sink, |after| product_page(conn, after))?;
            pages(sink, |after| sale_page(conn, after))?;
            let sales = flash_sales::table
                .order(flash_sales::id)
                .select(flash_sales::id)
                .load::<i64>(conn)?;
            for sale in sales {
                pages(sink, |after| order_page(conn, sale, after))?;
            }
            Ok(())
        })
    }
}

/// Passes the rows of all pages to `sink`. `page` returns the rows after a key, each with its key.
fn pages(
    sink: &mut Sink<'_>,
    mut page: impl FnMut(i64) -> QueryResult<Vec<(i64, Line)>>,
) -> Result<(), ExportError> {
    let mut after = i64::MIN;
    loop {
        let rows = page(after)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        after = *last;
        for (_, line) in &rows {
            sink(line)?;
        }
    }
}

type UserColumns = (
    i64,
    String,
    String,
    String,
    Option<String>,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<(String, String, i64)>,
);

fn user_line(columns: UserColumns) -> (i64, Line) {
    let (
        id,
        username,
        email,
        password_hash,
        full_name,
        role,
        created_at,
        disabled,
        valid,
        identity,
    ) = columns;
    let row = UserRow {
        id,
        username,
        email,
        password_hash,
        full_name,
        role,
        created_at: time(created_at),
        disabled_at: disabled.map(time),
        tokens_valid_from: valid.map(time),
        external_identity: identity.map(|(issuer, subject, created_at)| IdentityRow {
            issuer,
            subject,
            created_at: time(created_at),
        }),
    };
    (id, Line::User(row))
}

fn user_page(conn: &mut SqliteConnection, after: i64) -> QueryResult<Vec<(i64, Line)>> {
    let identity = (
        external_identities::issuer,
        external_identities::subject,
        external_identities::created_at,
    );
    let rows = users::table
        .left_join(external_identities::table.on(external_identities::user_id.eq(users::id)))
        .filter(users::id.gt(after))
        .order(users::id)
        .limit(PAGE)
        // Without the keys of the names: the import computes them.
        .select((
            users::id,
            users::username,
            users::email,
            users::password_hash,
            users::full_name,
            users::role,
            users::created_at,
            users::disabled_at,
            users::tokens_valid_from,
            identity.nullable(),
        ))
        .load::<UserColumns>(conn)?;
    Ok(rows.into_iter().map(user_line).collect())
}

type Offer = (Option<String>, i64, String, Option<i64>);
type ProductColumns = (i64, String, String, String, Offer, i64);

fn product_page(conn: &mut SqliteConnection, after: i64) -> QueryResult<Vec<(i64, Line)>> {
    let rows = products::table
        .filter(products::id.gt(after))
        .order(products::id)
        .limit(PAGE)
        .select((
            products::id,
            products::sku,
            products::name,
            products::description,
            (
                products::image_url,
                products::price_cents,
                products::currency,
                products::prior_price_cents,
            ),
            products::created_at,
        ))
        .load::<ProductColumns>(conn)?;
    let line = |(id, sku, name, description, offer, created_at): ProductColumns| {
        let (image_url, price_cents, currency, prior_price_cents) = offer;
        let row = ProductRow {
            id,
            sku,
            name,
            description,
            image_url,
            price_cents,
            currency,
            prior_price_cents,
            created_at: time(created_at),
        };
        (id, Line::Product(row))
    };
    Ok(rows.into_iter().map(line).collect())
}

type Life = (String, Option<i64>, String);
type Admitted = (Option<i64>, Option<i64>);
type SaleColumns = (i64, i64, i64, i64, i64, i64, Life, Admitted, i64);

fn sale_page(conn: &mut SqliteConnection, after: i64) -> QueryResult<Vec<(i64, Line)>> {
    let rows = flash_sales::table
        .filter(flash_sales::id.gt(after))
        .order(flash_sales::id)
        .limit(PAGE)
        // Without the version, which has a meaning only between this ledger and its gate.
        .select((
            flash_sales::id,
            flash_sales::product_id,
            flash_sales::start_time,
            flash_sales::end_time,
            flash_sales::initial_stock,
            flash_sales::remaining_stock,
            (
                flash_sales::state,
                flash_sales::paused_at,
                flash_sales::note,
            ),
            (flash_sales::admitted_from, flash_sales::admitted_until),
            flash_sales::created_at,
        ))
        .load::<SaleColumns>(conn)?;
    let line = |row: SaleColumns| {
        let (
            id,
            product_id,
            start,
            end,
            initial_stock,
            remaining_stock,
            life,
            admitted,
            created_at,
        ) = row;
        let (state, paused_at, note) = life;
        let is_empty = admitted
            .0
            .zip(admitted.1)
            .is_some_and(|(from, until)| from > until);
        let row = SaleRow {
            id,
            product_id,
            start_time: time(start),
            end_time: time(end),
            initial_stock,
            remaining_stock,
            never_live: state == "CANCELLED" && is_empty,
            state,
            paused_at: paused_at.map(time),
            note,
            created_at: time(created_at),
        };
        (id, Line::Sale(row))
    };
    Ok(rows.into_iter().map(line).collect())
}

fn order_page(conn: &mut SqliteConnection, sale: i64, after: i64) -> QueryResult<Vec<(i64, Line)>> {
    let rows = orders::table
        .filter(
            orders::flash_sale_id
                .eq(sale)
                .and(orders::user_id.gt(after)),
        )
        .order(orders::user_id)
        .limit(PAGE)
        .load::<(i64, i64, i64, String, Vec<u8>, i64)>(conn)?;
    let line = |(sale_id, user_id, product_id, status, attempt, created_at): (
        i64,
        i64,
        i64,
        String,
        Vec<u8>,
        i64,
    )| {
        let row = OrderRow {
            sale_id,
            user_id,
            product_id,
            status,
            // A CHECK constraint allows nothing but a UUID.
            attempt_id: Uuid::from_slice(&attempt).unwrap_or_default(),
            created_at: time(created_at),
        };
        (user_id, Line::Order(row))
    };
    Ok(rows.into_iter().map(line).collect())
}
