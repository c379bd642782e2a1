//! The data to start with: accounts, products and one sale. Whatever is there already stays as it is.

use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Integer, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{connect, migrate, prepared::Prepared};
use crate::config::{PostgresConfig, SaleConfig};

/// Username, email, password and role. Passwords for trying things out, known to everybody.
const ACCOUNTS: [(&str, &str, &str, &str); 4] = [
    ("admin", "admin@example.com", "admin123", "admin"),
    ("user1", "user1@example.com", "password123", "user"),
    ("user2", "user2@example.com", "password123", "user"),
    ("user3", "user3@example.com", "password123", "user"),
];

/// SKU, name, description and price in cents.
const PRODUCTS: [(&str, &str, &str, i64); 3] = [
    (
        "FLASH-001",
        "Premium Smartphone",
        "Latest model smartphone with advanced features",
        99_900,
    ),
    (
        "FLASH-002",
        "Wireless Headphones",
        "Noise-cancelling headphones with a long-lasting battery",
        19_900,
    ),
    (
        "FLASH-003",
        "Smart Watch",
        "Fitness tracking and notifications on the wrist",
        29_900,
    ),
];

/// One seed job at a time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('flashsale seed', 0))";

const FIND_ACCOUNT: &str =
    "SELECT id FROM users WHERE lower(username) = lower(?) OR lower(email) = lower(?)";

const ADD_ACCOUNT: &str = "
    INSERT INTO users (username, email, password_hash, role) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";

const ADD_PRODUCT: &str = "
    INSERT INTO products (sku, name, description, price_cents) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";

const FIND_PRODUCT: &str = "SELECT id FROM products WHERE sku = ?";

/// The first sale of the product that leaves no room for one in this window.
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
    #[error("the sale would end before it starts (FLASH_SALE_START_TIME, FLASH_SALE_END_TIME)")]
    Window,
    #[error("a sale has {} units at most (FLASH_SALE_TOTAL_STOCK)", i32::MAX)]
    Stock,
    #[error("hashing a password: {0}")]
    Hash(String),
    #[error("seeding: {0}")]
    Sql(#[from] diesel::result::Error),
}

/// What was done about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// What it is, for people: `user admin`, `product FLASH-001`, `sale 1 of FLASH-001`.
    pub what: String,
    /// False if it was there already.
    pub created: bool,
}

/// Seeds in one transaction. `hash` makes the PHC string of a password; it is called for missing accounts only.
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
            for (sku, name, description, price_cents) in PRODUCTS {
                let added = Prepared::new(ADD_PRODUCT)
                    .bind::<Text, _>(sku)
                    .bind::<Text, _>(name)
                    .bind::<Text, _>(description)
                    .bind::<BigInt, _>(price_cents)
                    .execute(conn)
                    .await?;
                report.push(Seeded {
                    what: format!("product {sku}"),
                    created: added == 1,
                });
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
    (username, email, password, role): (&'static str, &'static str, &'static str, &'static str),
    hash: &(dyn Fn(&str) -> Result<String, E> + Send + Sync),
) -> Result<Seeded, SeedError> {
    let what = format!("user {username}");
    let there = Prepared::new(FIND_ACCOUNT)
        .bind::<Text, _>(username)
        .bind::<Text, _>(email);
    if there.get_result::<IdRow>(conn).await.optional()?.is_some() {
        return Ok(Seeded {
            what,
            created: false,
        });
    }
    let hash = hash(password).map_err(|error| SeedError::Hash(error.to_string()))?;
    let added = Prepared::new(ADD_ACCOUNT)
        .bind::<Text, _>(username)
        .bind::<Text, _>(email)
        .bind::<Text, _>(hash)
        .bind::<Text, _>(role)
        .execute(conn)
        .await?;
    Ok(Seeded {
        what,
        created: added == 1,
    })
}

/// The sale is made unless the product has one in the way: one that overlaps or, when no window is configured, any that
/// is running or to come.
async fn seed_sale(
    conn: &mut AsyncPgConnection,
    sale: &SaleConfig,
    now: DateTime<Utc>,
) -> Result<Seeded, SeedError> {
    let sku = &sale.product_sku;
    let product = Prepared::new(FIND_PRODUCT).bind::<Text, _>(sku.clone());
    let product: IdRow = product
        .get_result(conn)
        .await
        .optional()?
        .ok_or_else(|| SeedError::UnknownProduct(sku.clone()))?;
    let stock = i32::try_from(sale.total_stock).map_err(|_| SeedError::Stock)?;

    let start = sale.start.unwrap_or(now);
    let end = sale.end.unwrap_or(start + TimeDelta::hours(24));
    if end <= start {
        return Err(SeedError::Window);
    }
    let is_configured = sale.start.is_some() || sale.end.is_some();
    // A hundred years: all that is to come.
    let before = if is_configured {
        end
    } else {
        start + TimeDelta::days(36_500)
    };
    let in_the_way = Prepared::new(FIND_SALE)
        .bind::<BigInt, _>(product.id)
        .bind::<Timestamptz, _>(before)
        .bind::<Timestamptz, _>(start);
    if let Some(there) = in_the_way.get_result::<IdRow>(conn).await.optional()? {
        return Ok(Seeded {
            what: format!("sale {} of {sku}", there.id),
            created: false,
        });
    }
    let made: IdRow = Prepared::new(ADD_SALE)
        .bind::<BigInt, _>(product.id)
        .bind::<Timestamptz, _>(start)
        .bind::<Timestamptz, _>(end)
        .bind::<Integer, _>(stock)
        .bind::<Integer, _>(stock)
        .get_result(conn)
        .await?;
    let window = format!("{} to {}", start.format("%FT%TZ"), end.format("%FT%TZ"));
    Ok(Seeded {
        what: format!("sale {} of {sku}, {stock} units, {window}", made.id),
        created: true,
    })
}
