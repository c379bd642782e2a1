//! Writes the demo data of `engine::demo`. Rows that exist already stay unchanged.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult, QueryableByName,
    sql_types::{BigInt, Integer, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Prepared, connect, migrate};
use crate::{
    account_key::AccountKey,
    config::{PostgresConfig, SaleConfig},
    engine::demo::{ACCOUNTS, Account, DemoSale, InvalidSale, PRODUCTS, Product, Seeded},
};

/// Seed jobs run one at a time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('flashsale seed', 0))";

const FIND_ACCOUNT: &str = "SELECT id FROM users WHERE username_key = ? OR email_key = ?";

const ADD_ACCOUNT: &str = "
    INSERT INTO users (username, email, username_key, email_key, password_hash, role) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";

const ADD_PRODUCT: &str = "
    INSERT INTO products (sku, name, description, image_url, price_cents) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";

const FIND_PRODUCT: &str = "SELECT id FROM products WHERE sku = ?";

/// The first sale of the product that leaves no room for the demo sale.
const FIND_SALE: &str = "
    SELECT id FROM flash_sales WHERE product_id = ? AND start_time < ? AND end_time > ? ORDER BY start_time LIMIT 1";

const ADD_SALE: &str = "
    INSERT INTO flash_sales (product_id, start_time, end_time, initial_stock, remaining_stock)
    VALUES (?, ?, ?, ?, ?) RETURNING id";

/// Why nothing was seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(transparent)]
    Connect(#[from] connect::ConnectError),
    #[error("no product has the SKU \"{0}\" (FLASH_SALE_PRODUCT_ID)")]
    UnknownProduct(String),
    #[error(transparent)]
    Sale(#[from] InvalidSale),
    #[error("hashing a password: {0}")]
    Hash(String),
    #[error("seeding: {0}")]
    Sql(#[from] diesel::result::Error),
}

/// Seeds in one transaction. `hash` returns the PHC string of a password; it is called only for accounts that are missing.
pub async fn seed<E: Display>(
    config: &PostgresConfig,
    sale: &SaleConfig,
    now: DateTime<Utc>,
    hash: &(dyn Fn(&str) -> Result<String, E> + Send + Sync),
) -> Result<Vec<Seeded>, SeedError> {
    let mut session = connect::open(config, &config.database, config.statement_timeout).await?;
    migrate::check(config, &mut session).await?;
    session
        .build_transaction()
        .read_committed()
        .run(async |conn| {
            Prepared::new(LOCK).execute(conn).await?;
            let mut report = Vec::new();
            for account in ACCOUNTS {
                report.push(seed_account(conn, account, hash).await?);
            }
            for product in PRODUCTS {
                report.push(seed_product(conn, product).await?);
            }
            report.push(seed_sale(conn, sale, now).await?);
            Ok(report)
        })
        .await
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

async fn seed_account<E: Display>(
    conn: &mut AsyncPgConnection,
    account: Account,
    hash: &(dyn Fn(&str) -> Result<String, E> + Send + Sync),
) -> Result<Seeded, SeedError> {
    let username_key = String::from(AccountKey::of(account.username));
    let email_key = String::from(AccountKey::of(account.email));
    let existing = Prepared::new(FIND_ACCOUNT)
        .bind::<Text, _>(username_key.clone())
        .bind::<Text, _>(email_key.clone());
    if existing
        .get_result::<IdRow>(conn)
        .await
        .optional()?
        .is_some()
    {
        return Ok(account.seeded(false));
    }
    let hash = hash(account.password).map_err(|error| SeedError::Hash(error.to_string()))?;
    let added = Prepared::new(ADD_ACCOUNT)
        .bind::<Text, _>(account.username)
        .bind::<Text, _>(account.email)
        .bind::<Text, _>(username_key)
        .bind::<Text, _>(email_key)
        .bind::<Text, _>(hash)
        .bind::<Text, _>(account.role)
        .execute(conn)
        .await?;
    Ok(account.seeded(added == 1))
}

async fn seed_product(conn: &mut AsyncPgConnection, product: Product) -> QueryResult<Seeded> {
    let added = Prepared::new(ADD_PRODUCT)
        .bind::<Text, _>(product.sku)
        .bind::<Text, _>(product.name)
        .bind::<Text, _>(product.description)
        .bind::<Text, _>(product.image_url)
        .bind::<BigInt, _>(product.price_cents)
        .execute(conn)
        .await?;
    Ok(product.seeded(added == 1))
}

async fn seed_sale(
    conn: &mut AsyncPgConnection,
    config: &SaleConfig,
    now: DateTime<Utc>,
) -> Result<Seeded, SeedError> {
    let sale = DemoSale::of(config, now)?;
    let product = Prepared::new(FIND_PRODUCT).bind::<Text, _>(sale.sku.clone());
    let product: IdRow = product
        .get_result(conn)
        .await
        .optional()?
        .ok_or_else(|| SeedError::UnknownProduct(sale.sku.clone()))?;
    let in_the_way = Prepared::new(FIND_SALE)
        .bind::<BigInt, _>(product.id)
        .bind::<Timestamptz, _>(sale.clear_until)
        .bind::<Timestamptz, _>(sale.start);
    if let Some(there) = in_the_way.get_result::<IdRow>(conn).await.optional()? {
        return Ok(sale.there(there.id));
    }
    let made: IdRow = Prepared::new(ADD_SALE)
        .bind::<BigInt, _>(product.id)
        .bind::<Timestamptz, _>(sale.start)
        .bind::<Timestamptz, _>(sale.end)
        .bind::<Integer, _>(sale.stock)
        .bind::<Integer, _>(sale.stock)
        .get_result(conn)
        .await?;
    Ok(sale.made(made.id))
}
