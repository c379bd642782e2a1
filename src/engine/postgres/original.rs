//! A database of the original service as a source of rows: recognised, surveyed, and read as the lines that an export would
//! have. Nothing is written there: all is read in one snapshot of a transaction that may not write.

mod read;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    result::Error,
    sql_types::{Array, BigInt, Bool, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use self::read::Accounts;
use super::{
    Prepared,
    connect::{self, ConnectError, Purpose},
    import::Fed,
    session::Session,
};
use crate::{
    config::PostgresConfig,
    engine::transfer::{Line, Sealer, changes::Changes, survey::Survey},
};

/// A writer that takes long keeps the reading waiting, but not for ever.
const BEGIN: &str = "
    SET idle_in_transaction_session_timeout = '10min';
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Its tables as they are told apart from ours, which call it `start_time`.
const IS_ORIGINAL: &str = "
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('flash_sales') AND attname = 'start_at')
        AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('orders') AND attname = 'sale_id') AS there";

/// The columns that are read, and are not there.
const LACKING: &str = "
    SELECT c.name FROM (VALUES
        ('users.id'), ('users.username'), ('users.email'), ('users.password_hash'), ('users.full_name'), ('users.created_at'),
        ('products.id'), ('products.sku'), ('products.name'), ('products.description'), ('products.created_at'),
        ('flash_sales.id'), ('flash_sales.product_id'), ('flash_sales.start_at'), ('flash_sales.end_at'),
        ('flash_sales.initial_stock'), ('flash_sales.created_at'),
        ('orders.id'), ('orders.order_uuid'), ('orders.sale_id'), ('orders.product_id'), ('orders.user_id'), ('orders.status'),
        ('orders.attempt_id'), ('orders.created_at')) AS c (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass(split_part(c.name, '.', 1))
            AND attname = split_part(c.name, '.', 2) AND NOT attisdropped)";

/// Accounts that orders name and that do not exist, an order a row.
const WITHOUT_ACCOUNT: &str = "
    SELECT o.id::bigint AS id, o.user_id::bigint AS user_id FROM orders o
    WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = o.user_id) ORDER BY o.user_id, o.id";

const OF_ANOTHER_PRODUCT: &str = "
    SELECT o.id::bigint AS id, o.product_id::bigint AS product_id, s.product_id::bigint AS of_sale
    FROM orders o JOIN flash_sales s ON s.id = o.sale_id WHERE o.product_id <> s.product_id ORDER BY o.id";

/// Orders whose UUID an order with a lower id has.
const UUID_TWICE: &str = "
    SELECT id::bigint AS id, order_uuid FROM (
        SELECT id, order_uuid, row_number() OVER (PARTITION BY order_uuid ORDER BY id) AS place
        FROM orders WHERE order_uuid IS NOT NULL) numbered
    WHERE place > 1 ORDER BY id";

/// Those of these orders that are there.
const THERE: &str = "SELECT id::bigint AS id FROM orders WHERE id = ANY(?)";

const SOLD: &str = "
    SELECT sale_id::bigint AS id, count(*) AS orders FROM orders WHERE status::text = 'SUCCESS' GROUP BY sale_id";

/// What stays behind.
const LEFT: &str = "
    SELECT (SELECT count(*) FROM orders WHERE status::text = 'PENDING') AS pending,
        (SELECT count(*) FROM orders WHERE status::text = 'FAILED') AS failed";

/// Names orders that carry no UUID.
const ORDER_IDS: Uuid = Uuid::from_u128(0x0d1f_6a52_8a0e_4f0e_8a31_53b6_51c9_44e7);

/// Why the other database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OriginalError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("PostgreSQL at {server} has no database \"{database}\"")]
    Missing { server: String, database: String },
    #[error(
        "database \"{database}\" does not have the schema of the original service: it lacks {}", .lacking.join(", ")
    )]
    Schema {
        database: String,
        lacking: Vec<String>,
    },
    #[error("reading the database of the original service: {0}")]
    Sql(#[from] Error),
    #[error("reading the database of the original service: {0}")]
    Line(#[from] std::io::Error),
}

/// What was found.
pub struct Found {
    /// What the database would refuse, row by row.
    pub problems: Vec<String>,
    /// The operator's changes with those that would solve the problems.
    pub proposals: Changes,
    /// Orders that are taken over without a unit.
    pub pending: i64,
    pub failed: i64,
    /// Accounts that nobody can log in to, whatever the password: their hash is none.
    pub without_login: u64,
    /// How many SUCCESS orders each sale has, without those that stay behind.
    pub sold: BTreeMap<i64, i64>,
}

/// A database of the original service, in one snapshot.
pub struct Original {
    session: Session,
    /// When the snapshot was taken.
    now: DateTime<Utc>,
}

impl Original {
    /// Opens it. Fails if it has another schema.
    pub async fn open(config: &PostgresConfig) -> Result<Self, OriginalError> {
        let no_limit = std::time::Duration::ZERO;
        let opened = connect::open_for(Purpose::Look, config, &config.database, no_limit).await;
        let mut session = match opened {
            // That `migrate` makes one is no advice here.
            Err(ConnectError::DatabaseMissing { server, database }) => {
                return Err(OriginalError::Missing { server, database });
            }
            opened => opened?,
        };
        session.batch_execute(BEGIN).await?;
        let rows: Vec<NameRow> = Prepared::new(LACKING).load(&mut session).await?;
        if rows.is_empty() {
            let NowRow { now } = Prepared::new("SELECT now() AS now")
                .get_result(&mut session)
                .await?;
            return Ok(Self { session, now });
        }
        Err(OriginalError::Schema {
            database: config.database.clone(),
            lacking: rows.into_iter().map(|row| row.name).collect(),
        })
    }

    /// Looks at every row, with these changes. `is_comparable` says whether a password can be compared with a stored hash.
    pub async fn survey(
        &mut self,
        changes: &Changes,
        is_comparable: fn(&str) -> bool,
    ) -> Result<Found, OriginalError> {
        let mut survey = Survey::new(changes);
        let mut idle = Idle::new(changes);
        let (mut without_login, mut made) = (0, BTreeSet::new());
        self.begin_pass().await?;
        let mut accounts = Accounts::new(changes);
        while let Some(users) = accounts.next(self).await? {
            for row in users {
                idle.users.remove(&row.id);
                if changes.new_users.contains_key(&row.id) && !made.insert(row.id) {
                    survey.exists_already(row.id);
                }
                without_login += u64::from(!is_comparable(&row.password_hash));
                survey.user(&row);
            }
        }
        for row in self.products(changes).await? {
            idle.products.remove(&row.id);
            survey.product(&row);
        }
        let sold = self.sold(changes).await?;
        for row in self.sales(changes).await? {
            idle.sales.remove(&row.id);
            let sold = sold.get(&row.id).copied().unwrap_or_default();
            survey.sale(row, sold);
        }
        self.survey_orders(changes, &mut survey).await?;
        for id in idle.users {
            survey.idle_change("user", id);
        }
        for id in idle.products {
            survey.idle_change("product", id);
        }
        for id in idle.sales {
            survey.idle_change("sale", id);
        }
        let left: LeftRow = Prepared::new(LEFT).get_result(&mut self.session).await?;
        let (problems, proposals) = survey.end();
        Ok(Found {
            problems,
            proposals,
            pending: left.pending,
            failed: left.failed,
            without_login,
            sold,
        })
    }

    /// What orders name must exist, and be of one sale.
    async fn survey_orders(
        &mut self,
        changes: &Changes,
        survey: &mut Survey,
    ) -> Result<(), OriginalError> {
        let mut idle: BTreeSet<i64> = changes.orders.keys().copied().collect();
        let there: Vec<IdRow> = Prepared::new(THERE)
            .bind::<Array<BigInt>, _>(Vec::from_iter(idle.clone()))
            .load(&mut self.session)
            .await?;
        for row in there {
            idle.remove(&row.id);
        }
        for id in idle {
            survey.idle_change("order", id);
        }
        let is_skipped = |id: &i64| changes.orders.get(id).is_some_and(|change| change.skip);
        let rows: Vec<OrderUserRow> = Prepared::new(WITHOUT_ACCOUNT)
            .load(&mut self.session)
            .await?;
        let mut missing: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in rows.iter().filter(|row| !is_skipped(&row.id)) {
            if !changes.new_users.contains_key(&row.user_id) {
                missing.entry(row.user_id).or_default().push(row.id);
            }
        }
        for (user, orders) in missing {
            survey.missing_user(user, &orders);
        }
        let rows: Vec<OrderProductRow> = Prepared::new(OF_ANOTHER_PRODUCT)
            .load(&mut self.session)
            .await?;
        for row in rows.iter().filter(|row| !is_skipped(&row.id)) {
            let change = changes.orders.get(&row.id);
            if change.and_then(|change| change.product_id) != Some(row.of_sale) {
                survey.other_product(row.id, row.product_id, row.of_sale);
            }
        }
        let rows: Vec<OrderUuidRow> = Prepared::new(UUID_TWICE).load(&mut self.session).await?;
        for row in rows.iter().filter(|row| !is_skipped(&row.id)) {
            let change = changes.orders.get(&row.id);
            if change.and_then(|change| change.order_uuid).is_none() {
                survey.uuid_twice(row.id, row.order_uuid, derived(row.id));
            }
        }
        Ok(())
    }

    /// How many SUCCESS orders each sale has, without those that stay behind.
    async fn sold(&mut self, changes: &Changes) -> Result<BTreeMap<i64, i64>, OriginalError> {
        let rows: Vec<SoldRow> = Prepared::new(SOLD).load(&mut self.session).await?;
        let mut sold: BTreeMap<i64, i64> =
            rows.into_iter().map(|row| (row.id, row.orders)).collect();
        let skipped = changes.orders.values().filter(|change| change.skip);
        let skipped: BTreeSet<i64> = skipped.map(|change| change.id).collect();
        if !skipped.is_empty() {
            let all = Changes::default();
            self.begin_pass().await?;
            while let Some(orders) = self.next_orders(&all).await? {
                for (id, order) in orders {
                    if order.status == "SUCCESS" && skipped.contains(&id) {
                        *sold.entry(order.sale_id).or_default() -= 1;
                    }
                }
            }
        }
        Ok(sold)
    }

    /// Passes on all rows with these changes, as an export has them, until the end or until nobody wants more. `sold` is what
    /// the survey with the same changes found.
    pub async fn feed(
        mut self,
        changes: &Changes,
        sold: &BTreeMap<i64, i64>,
        rows: mpsc::Sender<Fed>,
    ) {
        let end = match self.feed_rows(changes, sold, &rows).await {
            Ok(sealer) => Fed::End(sealer.seals()),
            Err(error) => Fed::Broken(std::io::Error::other(error).into()),
        };
        // Whoever gave up does not need it.
        let _ = rows.send(end).await;
    }
}

/// The id of an order that has none: the same whenever it is read.
fn derived(order: i64) -> Uuid {
    Uuid::new_v5(&ORDER_IDS, order.to_string().as_bytes())
}

/// Changes that no row took.
struct Idle {
    users: BTreeSet<i64>,
    products: BTreeSet<i64>,
    sales: BTreeSet<i64>,
}

impl Idle {
    fn new(changes: &Changes) -> Self {
        Self {
            users: changes.users.keys().copied().collect(),
            products: changes.products.keys().copied().collect(),
            sales: changes.sales.keys().copied().collect(),
        }
    }
}

/// True if a connection is to a database of the original service.
pub(super) async fn is_original(session: &mut Session) -> diesel::QueryResult<bool> {
    let row: ThereRow = Prepared::new(IS_ORIGINAL).get_result(session).await?;
    Ok(row.there)
}

#[derive(QueryableByName)]
struct ThereRow {
    #[diesel(sql_type = Bool)]
    there: bool,
}

#[derive(QueryableByName)]
struct NowRow {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct OrderUserRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
}

#[derive(QueryableByName)]
struct OrderProductRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    of_sale: i64,
}

#[derive(QueryableByName)]
struct OrderUuidRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = SqlUuid)]
    order_uuid: Uuid,
}

#[derive(QueryableByName)]
struct SoldRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    orders: i64,
}

#[derive(QueryableByName)]
struct LeftRow {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
}
