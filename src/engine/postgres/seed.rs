//! Accounts, products and a sale to try things out with. Done twice, it changes nothing.

use chrono::{DateTime, Duration, Utc};
use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{BigInt, Integer, Text, Timestamptz},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::pool::{ConnectError, connect_once};
use crate::{
    config::{PostgresConfig, SaleConfig},
    port::SaleWindow,
};

/// SKU, name, description, price in cents.
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
        "Over-ear headphones with noise cancellation",
        29_900,
    ),
    (
        "FLASH-003",
        "Smart Watch",
        "Waterproof watch that tracks sleep and sports",
        19_900,
    ),
];

/// An account to seed.
#[derive(Debug, Clone)]
pub struct SeedUser {
    pub username: String,
    pub email: String,
    pub password_hash: String,
    /// `admin` or `user`.
    pub role: String,
}

/// What is to be there afterwards.
#[derive(Debug, Clone)]
pub struct SeedPlan {
    pub users: Vec<SeedUser>,
    pub sale: SaleConfig,
    pub now: DateTime<Utc>,
}

/// What was missing and is there now; what was there already is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedReport {
    pub new_users: usize,
    pub new_products: usize,
    pub sale: SeededSale,
}

/// The sale of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeededSale {
    pub id: i64,
    pub new: bool,
    pub initial_stock: i32,
    pub remaining_stock: i32,
    pub window: SaleWindow,
}

/// Why seeding did not succeed. Nothing was seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("there is no product {0}; see FLASH_SALE_PRODUCT_ID")]
    UnknownProduct(String),
    #[error(
        "the sale would end before it starts; see FLASH_SALE_START_TIME and FLASH_SALE_END_TIME"
    )]
    EmptyWindow,
    #[error("the database refused: {0}")]
    Database(#[from] diesel::result::Error),
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct SaleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    initial_stock: i32,
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
    #[diesel(sql_type = Timestamptz)]
    start_time: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    end_time: DateTime<Utc>,
}

impl SeedPlan {
    /// Makes what is missing.
    pub async fn run(&self, config: &PostgresConfig) -> Result<SeedReport, SeedError> {
        let mut connection = connect_once(config).await?;
        connection
            .transaction(async |connection| {
                let new_users = self.users(connection).await?;
                let new_products = products(connection).await?;
                let sale = self.sale(connection).await?;
                Ok(SeedReport {
                    new_users,
                    new_products,
                    sale,
                })
            })
            .await
    }

    async fn users(&self, connection: &mut AsyncPgConnection) -> QueryResult<usize> {
        let mut new = 0;
        for user in &self.users {
            new += sql_query(
                "INSERT INTO users (username, email, password_hash, role) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind::<Text, _>(&user.username)
            .bind::<Text, _>(&user.email)
            .bind::<Text, _>(&user.password_hash)
            .bind::<Text, _>(&user.role)
            .execute(connection)
            .await?;
        }
        Ok(new)
    }

    /// The sale of the plan: one that overlaps its window is taken for it.
    async fn sale(&self, connection: &mut AsyncPgConnection) -> Result<SeededSale, SeedError> {
        let sku = &self.sale.product_sku;
        let product = sql_query("SELECT id FROM products WHERE sku = $1 FOR UPDATE")
            .bind::<Text, _>(sku)
            .load::<IdRow>(connection)
            .await?
            .pop()
            .ok_or_else(|| SeedError::UnknownProduct(sku.clone()))?
            .id;
        let start = self.sale.start.unwrap_or(self.now);
        let end = self.sale.end.unwrap_or(start + Duration::hours(24));
        if end <= start {
            return Err(SeedError::EmptyWindow);
        }
        let columns = "id, initial_stock, remaining_stock, start_time, end_time";
        let existing = sql_query(format!(
            "SELECT {columns} FROM flash_sales WHERE product_id = $1 AND tstzrange(start_time, end_time) && tstzrange($2, $3) \
             ORDER BY start_time LIMIT 1"
        ))
        .bind::<BigInt, _>(product)
        .bind::<Timestamptz, _>(start)
        .bind::<Timestamptz, _>(end)
        .load::<SaleRow>(connection)
        .await?
        .pop();
        if let Some(row) = existing {
            return Ok(row.seeded(false));
        }
        let row = sql_query(format!(
            "INSERT INTO flash_sales (product_id, start_time, end_time, initial_stock, remaining_stock) \
             VALUES ($1, $2, $3, $4, $4) RETURNING {columns}"
        ))
        .bind::<BigInt, _>(product)
        .bind::<Timestamptz, _>(start)
        .bind::<Timestamptz, _>(end)
        .bind::<Integer, _>(i32::try_from(self.sale.total_stock).unwrap_or(i32::MAX))
        .get_result::<SaleRow>(connection)
        .await?;
        Ok(row.seeded(true))
    }
}

impl SaleRow {
    fn seeded(self, new: bool) -> SeededSale {
        SeededSale {
            id: self.id,
            new,
            initial_stock: self.initial_stock,
            remaining_stock: self.remaining_stock,
            window: SaleWindow {
                start: self.start_time,
                end: self.end_time,
            },
        }
    }
}

async fn products(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    let mut new = 0;
    for (sku, name, description, price_cents) in PRODUCTS {
        new += sql_query(
            "INSERT INTO products (sku, name, description, price_cents) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind::<Text, _>(sku)
        .bind::<Text, _>(name)
        .bind::<Text, _>(description)
        .bind::<BigInt, _>(price_cents)
        .execute(connection)
        .await?;
    }
    Ok(new)
}
