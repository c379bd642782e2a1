//! Products as operators make and change them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{super::schema::products, idempotency, log, record};
use crate::{
    engine::number::number,
    ids::ProductId,
    port::{ActionEntry, AdminError, NewProduct, Product, ProductChange},
    rules::{action_log, product},
};

type Row = (
    (i64, String, String, String),
    (i64, String, Option<i64>, Option<String>),
    (i64, DateTime<Utc>, DateTime<Utc>),
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
        created_at,
        updated_at,
    })
}

pub(super) async fn find(
    conn: &mut AsyncPgConnection,
    id: ProductId,
) -> QueryResult<Option<Product>> {
    let row = products::table
        .find(id.value())
        .select(COLUMNS)
        .first::<Row>(conn)
        .await
        .optional()?;
    Ok(row.and_then(read))
}

pub(super) async fn page(
    conn: &mut AsyncPgConnection,
    after: Option<ProductId>,
    limit: u32,
) -> QueryResult<Vec<Product>> {
    let rows = products::table
        .filter(products::id.gt(after.map_or(0, ProductId::value)))
        .order(products::id)
        .limit(i64::from(limit))
        .select(COLUMNS)
        .load::<Row>(conn)
        .await?;
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Fails if another product has the SKU. One that comes meanwhile violates the key, and the change is tried again.
async fn check_sku(
    conn: &mut AsyncPgConnection,
    sku: &str,
    own: Option<ProductId>,
) -> Result<(), AdminError> {
    let holder = products::table
        .filter(products::sku.eq(sku))
        .select(products::id)
        .first::<i64>(conn)
        .await
        .optional()?;
    match holder {
        Some(id) if Some(id) != own.map(ProductId::value) => Err(AdminError::SkuTaken),
        Some(_) | None => Ok(()),
    }
}

/// Within a transaction.
pub(super) async fn create(
    conn: &mut AsyncPgConnection,
    new: &NewProduct,
    entry: &ActionEntry,
) -> Result<Product, AdminError> {
    idempotency::begin(conn, entry).await?;
    check_sku(conn, &new.sku, None).await?;
    let row = diesel::insert_into(products::table)
        .values(fields(new))
        .returning(COLUMNS)
        .get_result::<Row>(conn)
        .await?;
    let created = read(row).ok_or(AdminError::NotFound)?;
    let head = log::lock(conn).await?;
    record(
        conn,
        head,
        &action_log::changed_product(None, &created),
        entry,
    )
    .await?;
    Ok(created)
}

/// Within a transaction.
pub(super) async fn change(
    conn: &mut AsyncPgConnection,
    id: ProductId,
    change: &ProductChange,
    entry: &ActionEntry,
) -> Result<Product, AdminError> {
    idempotency::begin(conn, entry).await?;
    let row = products::table
        .find(id.value())
        .for_no_key_update()
        .select(COLUMNS)
        .first::<Row>(conn)
        .await
        .optional()?;
    let before = row.and_then(read).ok_or(AdminError::NotFound)?;
    let wanted = product::apply(&before, change)?;
    if wanted == before.fields {
        return Ok(before);
    }
    check_sku(conn, &wanted.sku, Some(id)).await?;
    let row = diesel::update(products::table.find(id.value()))
        .set(fields(&wanted))
        .returning(COLUMNS)
        .get_result::<Row>(conn)
        .await?;
    let after = read(row).ok_or(AdminError::NotFound)?;
    let head = log::lock(conn).await?;
    record(
        conn,
        head,
        &action_log::changed_product(Some(&before), &after),
        entry,
    )
    .await?;
    Ok(after)
}
