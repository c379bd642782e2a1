//! Products as operators make and change them.

use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, prelude::*};

use super::{
    super::{schema::products, values::time},
    idempotency, record,
};
use crate::{
    engine::number::number,
    ids::ProductId,
    port::{ActionEntry, AdminError, NewProduct, Product, ProductChange},
    rules::{action_log, product},
};

type Row = (
    (i64, String, String, String),
    (i64, String, Option<i64>, Option<String>),
    (i64, i64, Option<i64>),
);

type Columns = (
    (
        products::id,
        products::sku,
        products::name,
        products::description,
    ),
    (
        products::price_cents,
        products::currency,
        products::prior_price_cents,
        products::image_url,
    ),
    (
        products::version,
        products::created_at,
        products::updated_at,
    ),
);

const COLUMNS: Columns = (
    (
        products::id,
        products::sku,
        products::name,
        products::description,
    ),
    (
        products::price_cents,
        products::currency,
        products::prior_price_cents,
        products::image_url,
    ),
    (
        products::version,
        products::created_at,
        products::updated_at,
    ),
);

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = products, treat_none_as_null = true)]
struct Fields<'a> {
    sku: &'a str,
    name: &'a str,
    description: &'a str,
    image_url: Option<String>,
    price_cents: i64,
    currency: &'a str,
    prior_price_cents: Option<i64>,
}

fn fields(product: &NewProduct) -> Fields<'_> {
    Fields {
        sku: &product.sku,
        name: &product.name,
        description: &product.description,
        image_url: product.image_url.clone(),
        price_cents: product.price_cents,
        currency: &product.currency,
        prior_price_cents: product.prior_price_cents,
    }
}

fn read(row: Row) -> Option<Product> {
    let (
        (id, sku, name, description),
        (price_cents, currency, prior_price_cents, image_url),
        (version, created_at, updated_at),
    ) = row;
    Some(Product {
        id: ProductId::new(id)?,
        fields: NewProduct {
            sku,
            name,
            description,
            image_url,
            price_cents,
            currency,
            prior_price_cents,
        },
        version: number(version),
        created_at: time(created_at),
        updated_at: time(updated_at.unwrap_or(created_at)),
    })
}

pub(super) fn find(conn: &mut SqliteConnection, id: ProductId) -> QueryResult<Option<Product>> {
    let row = products::table
        .find(id.value())
        .select(COLUMNS)
        .first::<Row>(conn)
        .optional()?;
    Ok(row.and_then(read))
}

pub(super) fn page(
    conn: &mut SqliteConnection,
    after: Option<ProductId>,
    limit: u32,
) -> QueryResult<Vec<Product>> {
    let rows = products::table
        .filter(products::id.gt(after.map_or(0, ProductId::value)))
        .order(products::id)
        .limit(i64::from(limit))
        .select(COLUMNS)
        .load::<Row>(conn)?;
    Ok(rows.into_iter().filter_map(read).collect())
}

fn check_sku(
    conn: &mut SqliteConnection,
    sku: &str,
    own: Option<ProductId>,
) -> Result<(), AdminError> {
    let holder = products::table
        .filter(products::sku.eq(sku))
        .select(products::id)
        .first::<i64>(conn)
        .optional()?;
    match holder {
        Some(id) if Some(id) != own.map(ProductId::value) => Err(AdminError::SkuTaken),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn create(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    new: &NewProduct,
    entry: &ActionEntry,
) -> Result<Product, AdminError> {
    idempotency::begin(conn, now, entry)?;
    check_sku(conn, &new.sku, None)?;
    let id = diesel::insert_into(products::table)
        .values(fields(new))
        .returning(products::id)
        .get_result::<i64>(conn)?;
    let created = read_after(conn, id)?;
    record(
        conn,
        now,
        &action_log::changed_product(None, &created),
        entry,
    )?;
    Ok(created)
}

pub(super) fn change(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: ProductId,
    change: &ProductChange,
    entry: &ActionEntry,
) -> Result<Product, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let before = find(conn, id)?.ok_or(AdminError::NotFound)?;
    let wanted = product::apply(&before, change)?;
    if wanted == before.fields {
        return Ok(before);
    }
    check_sku(conn, &wanted.sku, Some(id))?;
    diesel::update(products::table.find(id.value()))
        .set(fields(&wanted))
        .execute(conn)?;
    let after = read_after(conn, id.value())?;
    let described = action_log::changed_product(Some(&before), &after);
    record(conn, now, &described, entry)?;
    Ok(after)
}

/// A product with what the triggers made of it: SQLite returns a row as it is before they run.
fn read_after(conn: &mut SqliteConnection, id: i64) -> Result<Product, AdminError> {
    let id = ProductId::new(id).ok_or(AdminError::NotFound)?;
    find(conn, id)?.ok_or(AdminError::NotFound)
}
