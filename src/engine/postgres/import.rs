//! Imports an export into an empty database, in one transaction. Either all rows are there, and are proven to be those of the
//! export, or none is. `read_back` makes the proof.

mod import_error;
mod read_back;

pub use import_error::ImportError;

use std::time::Duration;

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tokio::{sync::mpsc, time::timeout};

use super::{Prepared, admission, connect, migrate};
use crate::{
    account_key::AccountKey,
    config::PostgresConfig,
    engine::{
        number::to_integer,
        transfer::{self, IdentityRow, Line, OrderRow, ProductRow, SaleRow, Seals, UserRow},
    },
};

/// Maximum number of rows that one statement writes.
const BATCH: usize = 5_000;

/// Blocks all other writers until the import has ended. `users` and `products` are included, since running services may insert
/// into them.
const LOCK: &str = "LOCK TABLE users, products, flash_sales, orders IN SHARE ROW EXCLUSIVE MODE";

const COUNT: &str = "
    SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM products) AS products,
        (SELECT count(*) FROM flash_sales) AS sales, (SELECT count(*) FROM orders) AS orders";

const USERS: &str = "
    INSERT INTO users (id, username, email, username_key, email_key, password_hash, full_name, role, created_at,
        disabled_at, tokens_valid_from)
    SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const IDENTITIES: &str = "
    INSERT INTO external_identities (issuer, subject, user_id, created_at) SELECT * FROM unnest(?, ?, ?, ?)";

const PRODUCTS: &str = "
    INSERT INTO products (id, sku, name, description, image_url, price_cents, currency, prior_price_cents, created_at)
    SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Inserts sales with all their units. Triggers take a unit for each order that is inserted later.
const SALES: &str = "
    INSERT INTO flash_sales
        (id, product_id, start_time, end_time, initial_stock, remaining_stock, state, paused_at, note, created_at)
    SELECT id, product_id, start_time, end_time, stock, stock, state, paused_at, note, created_at
    FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)
        AS s (id, product_id, start_time, end_time, stock, state, paused_at, note, created_at)";

/// The empty admission window of sales that were cancelled while they were drafts.
const NEVER_LIVE: &str = "
    UPDATE flash_sales SET admitted_from = '9999-01-01 00:00:00+00', admitted_until = '1970-01-01 00:00:00+00' WHERE id = ANY(?)";

const ORDERS: &str = "
    INSERT INTO orders (id, flash_sale_id, user_id, product_id, status, attempt_id, created_at)
    SELECT attempt_id, flash_sale_id, user_id, product_id, status::order_status, attempt_id, created_at
    FROM unnest(?, ?, ?, ?, ?, ?) AS o (flash_sale_id, user_id, product_id, status, attempt_id, created_at)";

/// Sets the sequences so that the next ids come after the imported ones.
const SEQUENCES: &str = "
    SELECT setval('users_id_seq', greatest((SELECT max(id) FROM users), 1), EXISTS (SELECT 1 FROM users)),
        setval('products_id_seq', greatest((SELECT max(id) FROM products), 1), EXISTS (SELECT 1 FROM products)),
        setval('flash_sales_id_seq', greatest((SELECT max(id) FROM flash_sales), 1), EXISTS (SELECT 1 FROM flash_sales))";

/// The server ends the transaction, and releases its lock, if the client is silent for this long because its process or machine
/// has stopped.
const LIMIT_SILENCE: &str = "SET idle_in_transaction_session_timeout = '60s'";
/// Interval of empty statements while the import waits for rows, so that the limit above does not end it. The source may sort
/// all its orders before it sends the first one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// How an import without errors ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Commit,
    /// A dry run: everything is rolled back.
    RollBack,
}

/// Whether it is known when the imported sales were open in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// Not needed: no record from before the import will be settled, so the present windows are enough.
    OfNow,
    /// Records from before the import may still be settled, and it is not known how the windows were changed.
    Unknown,
}

/// A message from the source of the rows to the import.
pub enum Fed {
    Row(Line),
    /// The source was complete. Has the seals of all its rows.
    End(Seals),
    /// The source was incomplete or could not be read.
    Broken(transfer::ReadError),
}

/// Imports the rows of the source. Returns the seals of the rows in the database, which equal those of the source.
pub async fn import(
    config: &PostgresConfig,
    mut rows: mpsc::Receiver<Fed>,
    windows: Windows,
    finish: Finish,
) -> Result<Seals, ImportError> {
    // No statement timeout: the import may have to wait for the lock, and a batch may be slow.
    let mut session = connect::open(config, &config.database, Duration::ZERO).await?;
    migrate::check(config, &mut session).await?;
    session.batch_execute(LIMIT_SILENCE).await?;
    let imported = session
        .build_transaction()
        .read_committed()
        .run(async |conn| {
            conn.batch_execute(LOCK).await?;
            let existing: CountRow = Prepared::new(COUNT).get_result(conn).await?;
            existing.must_be_zero()?;
            let expected = write(conn, &mut rows).await?;
            if windows == Windows::Unknown {
                admission::forget(conn).await?;
            }
            let found = read_back::seals(conn).await?;
            expected.compare(&found)?;
            if finish == Finish::RollBack {
                return Err(ImportError::DryRun(Box::new(found)));
            }
            // Last, because a rollback does not undo it.
            Prepared::new(SEQUENCES).execute(conn).await?;
            Ok(found)
        })
        .await;
    match imported {
        Err(ImportError::DryRun(found)) => Ok(*found),
        imported => imported,
    }
}

async fn write(
    conn: &mut AsyncPgConnection,
    rows: &mut mpsc::Receiver<Fed>,
) -> Result<Seals, ImportError> {
    let mut batch = Batch::default();
    while let Some(fed) = next(conn, rows).await? {
        let row = match fed {
            Fed::Row(row) => row,
            Fed::Broken(error) => return Err(error.into()),
            Fed::End(seals) => {
                batch.write(conn).await?;
                return Ok(seals);
            }
        };
        if batch.push(row) == BATCH {
            batch.write(conn).await?;
        }
    }
    Err(ImportError::NoEnd)
}

/// The next message of the source. Sends an empty statement every second while it waits.
async fn next(
    conn: &mut AsyncPgConnection,
    rows: &mut mpsc::Receiver<Fed>,
) -> Result<Option<Fed>, ImportError> {
    loop {
        // `recv` loses no message when the timeout passes. The loop ends with a message, or when the source drops its sender.
        match timeout(KEEPALIVE_INTERVAL, rows.recv()).await {
            Ok(fed) => return Ok(fed),
            Err(_) => conn.batch_execute("SELECT").await?,
        }
    }
}

/// Rows that wait to be written. They arrive in the order of these fields, and are written in that order.
#[derive(Default)]
struct Batch {
    users: Vec<UserRow>,
    products: Vec<ProductRow>,
    sales: Vec<SaleRow>,
    orders: Vec<OrderRow>,
}

impl Batch {
    /// Adds a row. Returns the number of rows that wait.
    fn push(&mut self, line: Line) -> usize {
        match line {
            Line::User(row) => self.users.push(row),
            Line::Product(row) => self.products.push(row),
            Line::Sale(row) => self.sales.push(row),
            Line::Order(row) => self.orders.push(row),
            Line::Export(_) | Line::End(_) => {}
        }
        self.users.len() + self.products.len() + self.sales.len() + self.orders.len()
    }

    async fn write(&mut self, conn: &mut AsyncPgConnection) -> Result<(), ImportError> {
        let Self {
            users,
            products,
            sales,
            orders,
        } = std::mem::take(self);
        if !users.is_empty() {
            Prepared::new(USERS)
                .bind::<Array<BigInt>, _>(column(&users, |row| row.id))
                .bind::<Array<Text>, _>(column(&users, |row| row.username.clone()))
                .bind::<Array<Text>, _>(column(&users, |row| row.email.clone()))
                .bind::<Array<Text>, _>(column(&users, |row| key(&row.username)))
                .bind::<Array<Text>, _>(column(&users, |row| key(&row.email)))
                .bind::<Array<Text>, _>(column(&users, |row| row.password_hash.clone()))
                .bind::<Array<Nullable<Text>>, _>(column(&users, |row| row.full_name.clone()))
                .bind::<Array<Text>, _>(column(&users, |row| row.role.clone()))
                .bind::<Array<Timestamptz>, _>(column(&users, |row| row.created_at))
                .bind::<Array<Nullable<Timestamptz>>, _>(column(&users, |row| row.disabled_at))
                .bind::<Array<Nullable<Timestamptz>>, _>(column(&users, |row| {
                    row.tokens_valid_from
                }))
                .execute(conn)
                .await?;
        }
        let identity = |row: &UserRow| Some((row.id, row.external_identity.clone()?));
        let identities: Vec<(i64, IdentityRow)> = users.iter().filter_map(identity).collect();
        if !identities.is_empty() {
            Prepared::new(IDENTITIES)
                .bind::<Array<Text>, _>(column(&identities, |(_, row)| row.issuer.clone()))
                .bind::<Array<Text>, _>(column(&identities, |(_, row)| row.subject.clone()))
                .bind::<Array<BigInt>, _>(column(&identities, |(user, _)| *user))
                .bind::<Array<Timestamptz>, _>(column(&identities, |(_, row)| row.created_at))
                .execute(conn)
                .await?;
        }
        if !products.is_empty() {
            Prepared::new(PRODUCTS)
                .bind::<Array<BigInt>, _>(column(&products, |row| row.id))
                .bind::<Array<Text>, _>(column(&products, |row| row.sku.clone()))
                .bind::<Array<Text>, _>(column(&products, |row| row.name.clone()))
                .bind::<Array<Text>, _>(column(&products, |row| row.description.clone()))
                .bind::<Array<Nullable<Text>>, _>(column(&products, |row| row.image_url.clone()))
                .bind::<Array<BigInt>, _>(column(&products, |row| row.price_cents))
                .bind::<Array<Text>, _>(column(&products, |row| row.currency.clone()))
                .bind::<Array<Nullable<BigInt>>, _>(column(&products, |row| row.prior_price_cents))
                .bind::<Array<Timestamptz>, _>(column(&products, |row| row.created_at))
                .execute(conn)
                .await?;
        }
        if !sales.is_empty() {
            // A stock that is too large for the column is cut here, and found when the rows are read back and compared.
            let stock = |row: &SaleRow| to_integer(row.initial_stock);
            Prepared::new(SALES)
                .bind::<Array<BigInt>, _>(column(&sales, |row| row.id))
                .bind::<Array<BigInt>, _>(column(&sales, |row| row.product_id))
                .bind::<Array<Timestamptz>, _>(column(&sales, |row| row.start_time))
                .bind::<Array<Timestamptz>, _>(column(&sales, |row| row.end_time))
                .bind::<Array<Integer>, _>(column(&sales, stock))
                .bind::<Array<Text>, _>(column(&sales, |row| row.state.clone()))
                .bind::<Array<Nullable<Timestamptz>>, _>(column(&sales, |row| row.paused_at))
                .bind::<Array<Text>, _>(column(&sales, |row| row.note.clone()))
                .bind::<Array<Timestamptz>, _>(column(&sales, |row| row.created_at))
                .execute(conn)
                .await?;
            let never_live = sales.iter().filter(|row| row.never_live);
            Prepared::new(NEVER_LIVE)
                .bind::<Array<BigInt>, _>(never_live.map(|row| row.id).collect::<Vec<_>>())
                .execute(conn)
                .await?;
        }
        if !orders.is_empty() {
            Prepared::new(ORDERS)
                .bind::<Array<BigInt>, _>(column(&orders, |row| row.sale_id))
                .bind::<Array<BigInt>, _>(column(&orders, |row| row.user_id))
                .bind::<Array<BigInt>, _>(column(&orders, |row| row.product_id))
                .bind::<Array<Text>, _>(column(&orders, |row| row.status.clone()))
                .bind::<Array<SqlUuid>, _>(column(&orders, |row| row.attempt_id))
                .bind::<Array<Timestamptz>, _>(column(&orders, |row| row.created_at))
                .execute(conn)
                .await?;
        }
        Ok(())
    }
}

fn key(name: &str) -> String {
    AccountKey::of(name).into()
}

/// The values of one column of the rows, for `unnest`.
fn column<R, T>(rows: &[R], cell: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(cell).collect()
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    users: i64,
    #[diesel(sql_type = BigInt)]
    products: i64,
    #[diesel(sql_type = BigInt)]
    sales: i64,
    #[diesel(sql_type = BigInt)]
    orders: i64,
}

impl CountRow {
    fn must_be_zero(self) -> Result<(), ImportError> {
        let Self {
            users,
            products,
            sales,
            orders,
        } = self;
        if users + products + sales + orders == 0 {
            return Ok(());
        }
        Err(ImportError::NotEmpty {
            users,
            products,
            sales,
            orders,
        })
    }
}
