//! Writes the demo data of `engine::demo` into the data file. Rows that exist already stay unchanged.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, prelude::*, result::Error};

use super::{
    DataFile, OpenError,
    schema::{flash_sales, products, users},
    values::millis,
};
use crate::{
    account_key::AccountKey,
    config::SaleConfig,
    engine::demo::{ACCOUNTS, Account, DemoSale, InvalidSale, PRODUCTS, Product, Seeded},
};

/// Why nothing was seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("no product has the SKU \"{0}\" (FLASH_SALE_PRODUCT_ID)")]
    UnknownProduct(String),
    #[error(transparent)]
    Sale(#[from] InvalidSale),
    #[error("hashing a password: {0}")]
    Hash(String),
    #[error("seeding: {0}")]
    Sql(#[from] Error),
}

impl DataFile {
    /// True if there is no user, product or sale. Seeding is one transaction, so this is also true if it was killed half way.
    pub fn is_empty(&mut self) -> Result<bool, OpenError> {
        let rows = users::table
            .count()
            .get_result::<i64>(&mut self.conn)
            .and_then(|users| {
                let products = products::table.count().get_result::<i64>(&mut self.conn)?;
                let sales = flash_sales::table
                    .count()
                    .get_result::<i64>(&mut self.conn)?;
                Ok(users + products + sales)
            });
        rows.map(|rows| rows == 0)
            .map_err(|error| OpenError::of(&self.path(), &error.to_string()))
    }

    /// Seeds in one transaction. `hash` returns the PHC string of a password; it is called only for accounts that are missing.
    pub fn seed<E: Display>(
        &mut self,
        sale: &SaleConfig,
        now: DateTime<Utc>,
        hash: &dyn Fn(&str) -> Result<String, E>,
    ) -> Result<Vec<Seeded>, SeedError> {
        self.conn.immediate_transaction(|conn| {
            let mut report = Vec::new();
            for account in ACCOUNTS {
                report.push(seed_account(conn, account, hash)?);
            }
            for product in PRODUCTS {
                report.push(seed_product(conn, product)?);
            }
            report.push(seed_sale(conn, sale, now)?);
            Ok(report)
        })
    }
}

fn seed_account<E: Display>(
    conn: &mut SqliteConnection,
    account: Account,
    hash: &dyn Fn(&str) -> Result<String, E>,
) -> Result<Seeded, SeedError> {
    let username_key = AccountKey::of(account.username);
    let email_key = AccountKey::of(account.email);
    let existing = users::table
        .filter(
            users::username_key
                .eq(username_key.as_str())
                .or(users::email_key.eq(email_key.as_str())),
        )
        .select(users::id)
        .first::<i64>(conn)
        .optional()?;
    if existing.is_some() {
        return Ok(account.seeded(false));
    }
    let hash = hash(account.password).map_err(|error| SeedError::Hash(error.to_string()))?;
    diesel::insert_into(users::table)
        .values((
            users::username.eq(account.username),
            users::email.eq(account.email),
            users::username_key.eq(username_key.as_str()),
            users::email_key.eq(email_key.as_str()),
            users::password_hash.eq(hash),
            users::role.eq(account.role),
        ))
        .execute(conn)?;
    Ok(account.seeded(true))
}

fn seed_product(conn: &mut SqliteConnection, product: Product) -> QueryResult<Seeded> {
    let added = diesel::insert_or_ignore_into(products::table)
        .values((
            products::sku.eq(product.sku),
            products::name.eq(product.name),
            products::description.eq(product.description),
            products::image_url.eq(product.image_url),
            products::price_cents.eq(product.price_cents),
        ))
        .execute(conn)?;
    Ok(product.seeded(added == 1))
}

fn seed_sale(
    conn: &mut SqliteConnection,
    config: &SaleConfig,
    now: DateTime<Utc>,
) -> Result<Seeded, SeedError> {
    let sale = DemoSale::of(config, now)?;
    let product = products::table
        .filter(products::sku.eq(&sale.sku))
        .select(products::id)
        .first::<i64>(conn)
        .optional()?
        .ok_or_else(|| SeedError::UnknownProduct(sale.sku.clone()))?;
    let in_the_way = flash_sales::table
        .filter(flash_sales::product_id.eq(product))
        .filter(flash_sales::start_time.lt(millis(sale.clear_until)))
        .filter(flash_sales::end_time.gt(millis(sale.start)))
        .order(flash_sales::start_time)
        .select(flash_sales::id)
        .first::<i64>(conn)
        .optional()?;
    if let Some(there) = in_the_way {
        return Ok(sale.there(there));
    }
    let stock = i64::from(sale.stock);
    let made = diesel::insert_into(flash_sales::table)
        .values((
            flash_sales::product_id.eq(product),
            flash_sales::start_time.eq(millis(sale.start)),
            flash_sales::end_time.eq(millis(sale.end)),
            flash_sales::initial_stock.eq(stock),
            flash_sales::remaining_stock.eq(stock),
        ))
        .returning(flash_sales::id)
        .get_result::<i64>(conn)?;
    Ok(sale.made(made))
}
