//! Reads the rows of the database after an import as the lines that an export of it would have, to compare them.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    pg::Pg,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use super::ImportError;
use crate::engine::{
    postgres::Prepared,
    transfer::{IdentityRow, Line, OrderRow, ProductRow, SaleRow, Sealer, Seals, UserRow},
};

/// Cursors, so that the rows are read in one pass without holding all of them in memory.
const CURSORS: &str = "
    DECLARE users_back CURSOR FOR
        SELECT u.id, username, email, password_hash, full_name, role, u.created_at, disabled_at, tokens_valid_from, i.issuer, i.subject,
            i.created_at AS identity_created_at
        FROM users u LEFT JOIN external_identities i ON i.user_id = u.id ORDER BY u.id;
    DECLARE products_back CURSOR FOR
        SELECT id, sku, name, description, image_url, price_cents, currency, prior_price_cents, created_at FROM products ORDER BY id;
    DECLARE sales_back CURSOR FOR
        SELECT id, product_id, start_time, end_time, initial_stock, remaining_stock, state, paused_at, note, created_at,
            state = 'CANCELLED' AND (admitted_from > admitted_until) IS TRUE AS never_live
        FROM flash_sales ORDER BY id;
    DECLARE orders_back CURSOR FOR
        SELECT flash_sale_id, user_id, product_id, status::text AS status, attempt_id, created_at
        FROM orders ORDER BY flash_sale_id, user_id";

/// The seals (counts and checksums) of the rows in the database.
pub(super) async fn seals(conn: &mut AsyncPgConnection) -> Result<Seals, ImportError> {
    conn.batch_execute(CURSORS).await?;
    let mut sealer = Sealer::default();
    add::<User>(conn, &mut sealer, "FETCH 5000 FROM users_back").await?;
    add::<Product>(conn, &mut sealer, "FETCH 5000 FROM products_back").await?;
    add::<Sale>(conn, &mut sealer, "FETCH 5000 FROM sales_back").await?;
    add::<Order>(conn, &mut sealer, "FETCH 5000 FROM orders_back").await?;
    Ok(sealer.seals())
}

async fn add<R>(
    conn: &mut AsyncPgConnection,
    sealer: &mut Sealer,
    fetch: &'static str,
) -> Result<(), ImportError>
where
    R: QueryableByName<Pg> + Into<Line> + Send + 'static,
{
    loop {
        let rows: Vec<R> = Prepared::new(fetch).load(conn).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            sealer.add(&row.into())?;
        }
    }
}

#[derive(QueryableByName)]
struct User {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Text)]
    password_hash: String,
    #[diesel(sql_type = Nullable<Text>)]
    full_name: Option<String>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    issuer: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    subject: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    identity_created_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Product {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    sku: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Nullable<Text>)]
    image_url: Option<String>,
    #[diesel(sql_type = BigInt)]
    price_cents: i64,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    prior_price_cents: Option<i64>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Sale {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Timestamptz)]
    start_time: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    end_time: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    initial_stock: i32,
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Bool)]
    never_live: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    paused_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    note: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Order {
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<User> for Line {
    fn from(row: User) -> Self {
        Self::User(UserRow {
            id: row.id,
            username: row.username,
            email: row.email,
            password_hash: row.password_hash,
            full_name: row.full_name,
            role: row.role,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
            tokens_valid_from: row.tokens_valid_from,
            external_identity: row
                .issuer
                .zip(row.subject)
                .zip(row.identity_created_at)
                .map(|((issuer, subject), created_at)| IdentityRow {
                    issuer,
                    subject,
                    created_at,
                }),
        })
    }
}

impl From<Product> for Line {
    fn from(row: Product) -> Self {
        Self::Product(ProductRow {
            id: row.id,
            sku: row.sku,
            name: row.name,
            description: row.description,
            image_url: row.image_url,
            price_cents: row.price_cents,
            currency: row.currency,
            prior_price_cents: row.prior_price_cents,
            created_at: row.created_at,
        })
    }
}

impl From<Sale> for Line {
    fn from(row: Sale) -> Self {
        Self::Sale(SaleRow {
            id: row.id,
            product_id: row.product_id,
            start_time: row.start_time,
            end_time: row.end_time,
            initial_stock: row.initial_stock.into(),
            remaining_stock: row.remaining_stock.into(),
            state: row.state,
            never_live: row.never_live,
            paused_at: row.paused_at,
            note: row.note,
            created_at: row.created_at,
        })
    }
}

impl From<Order> for Line {
    fn from(row: Order) -> Self {
        Self::Order(OrderRow {
            sale_id: row.flash_sale_id,
            user_id: row.user_id,
            product_id: row.product_id,
            status: row.status,
            attempt_id: row.attempt_id,
            created_at: row.created_at,
        })
    }
}
