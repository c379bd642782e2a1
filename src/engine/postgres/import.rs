//! Takes an export over into an empty database, in one transaction: either all of it is there and proven to be what was
//! exported, or nothing. `read_back` is the proof.

mod read_back;

use std::time::Duration;

use diesel::{
    QueryableByName,
    result::Error,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tokio::{sync::mpsc, time::timeout};

use super::{Prepared, admission, connect, migrate};
use crate::{
    account_key::AccountKey,
    config::PostgresConfig,
    engine::transfer::{self, Line, OrderRow, ProductRow, SaleRow, Seals, UserRow},
};

/// Rows written by one statement.
const BATCH: usize = 5_000;

/// Nobody else writes meanwhile. Accounts and products are made by services that run, hence the lock on them too.
const LOCK: &str = "LOCK TABLE users, products, flash_sales, orders IN SHARE ROW EXCLUSIVE MODE";

const COUNT: &str = "
    SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM products) AS products,
        (SELECT count(*) FROM flash_sales) AS sales, (SELECT count(*) FROM orders) AS orders";

const USERS: &str = "
    INSERT INTO users (id, username, email, username_key, email_key, password_hash, full_name, role, created_at)
    SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)";

const PRODUCTS: &str = "
    INSERT INTO products (id, sku, name, description, image_url, price_cents, currency, prior_price_cents, created_at)
    SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// With all their units: the orders take theirs, by the triggers.
const SALES: &str = "
    INSERT INTO flash_sales
        (id, product_id, start_time, end_time, initial_stock, remaining_stock, state, paused_at, note, created_at)
    SELECT id, product_id, start_time, end_time, stock, stock, state, paused_at, note, created_at
    FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)
        AS s (id, product_id, start_time, end_time, stock, state, paused_at, note, created_at)";

const ORDERS: &str = "
    INSERT INTO orders (id, flash_sale_id, user_id, product_id, status, attempt_id, created_at)
    SELECT attempt_id, flash_sale_id, user_id, product_id, status::order_status, attempt_id, created_at
    FROM unnest(?, ?, ?, ?, ?, ?) AS o (flash_sale_id, user_id, product_id, status, attempt_id, created_at)";

/// The next ids come after those that were taken over.
const SEQUENCES: &str = "
    SELECT setval('users_id_seq', greatest((SELECT max(id) FROM users), 1), EXISTS (SELECT 1 FROM users)),
        setval('products_id_seq', greatest((SELECT max(id) FROM products), 1), EXISTS (SELECT 1 FROM products)),
        setval('flash_sales_id_seq', greatest((SELECT max(id) FROM flash_sales), 1), EXISTS (SELECT 1 FROM flash_sales))";

/// The transaction ends, and its lock with it, when its client is silent for so long: a process or a machine that stopped.
const LIMIT_SILENCE: &str = "SET idle_in_transaction_session_timeout = '60s'";
/// A client that waits for rows is not silent: the source may sort all its orders before the first one comes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Connect(#[from] connect::ConnectError),
    #[error(
        "the database is not empty ({users} users, {products} products, {sales} sales, {orders} orders); import into a new one: choose another POSTGRES_DB and run `flashsale migrate`"
    )]
    NotEmpty {
        users: i64,
        products: i64,
        sales: i64,
        orders: i64,
    },
    #[error(transparent)]
    Read(#[from] transfer::ReadError),
    #[error("importing: {0}")]
    Sql(#[from] Error),
    #[error("importing: {0}")]
    Line(#[from] std::io::Error),
    #[error("the export was not read to its end")]
    NoEnd,
    /// What a dry run ends with, so that everything is taken back.
    #[error("dry run")]
    DryRun(Box<Seals>),
}

/// What becomes of a transaction in which nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Commit,
    /// A dry run: everything is taken back.
    RollBack,
}

/// What is known of the times at which the sales were open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// No record from before comes after the import: the windows of now are all that matter.
    OfNow,
    /// Records from before are still to be settled, and nobody noted how windows were moved meanwhile.
    Unknown,
}

/// What the reader of a file passes on.
pub enum Fed {
    Row(Line),
    /// The file was whole.
    End(Seals),
    /// It was not.
    Broken(transfer::ReadError),
}

/// Takes over what comes; the seals of what the database has then, which are those of the export.
pub async fn import(
    config: &PostgresConfig,
    mut rows: mpsc::Receiver<Fed>,
    windows: Windows,
    finish: Finish,
) -> Result<Seals, ImportError> {
    // No limit on a statement: a lock may have to be waited for, and a batch may be slow.
    let mut session = connect::open(config, &config.database, Duration::ZERO).await?;
    migrate::check(config, &mut session).await?;
    session.batch_execute(LIMIT_SILENCE).await?;
    let imported = session
        .build_transaction()
        .read_committed()
        .run(async |conn| {
            conn.batch_execute(LOCK).await?;
            let there: CountRow = Prepared::new(COUNT).get_result(conn).await?;
            there.must_be_none()?;
            let expected = write(conn, &mut rows).await?;
            if windows == Windows::Unknown {
                admission::forget(conn).await?;
            }
            let found = read_back::seals(conn).await?;
            expected.compare(&found)?;
            if finish == Finish::RollBack {
                return Err(ImportError::DryRun(Box::new(found)));
            }
            // Last: what is set here is not taken back with the rest.
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

/// What the source passes on next, however long that takes.
async fn next(
    conn: &mut AsyncPgConnection,
    rows: &mut mpsc::Receiver<Fed>,
) -> Result<Option<Fed>, ImportError> {
    loop {
        // Nothing is lost when waiting is given up. A source that has an end of its own ends the loop.
        match timeout(SIGN_OF_LIFE, rows.recv()).await {
            Ok(fed) => return Ok(fed),
            Err(_) => conn.batch_execute("SELECT").await?,
        }
    }
}

/// Rows that wait to be written. They come kind by kind, and a batch writes its kinds in that order.
#[derive(Default)]
struct Batch {
    users: Vec<UserRow>,
    products: Vec<ProductRow>,
    sales: Vec<SaleRow>,
    orders: Vec<OrderRow>,
}

impl Batch {
    /// How many wait then.
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
            // A stock that the column cannot hold is found out when the rows are read back.
            let stock = |row: &SaleRow| i32::try_from(row.initial_stock).unwrap_or(i32::MAX);
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

/// One column of rows to be unnested.
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
    fn must_be_none(self) -> Result<(), ImportError> {
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
