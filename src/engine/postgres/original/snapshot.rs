//! Opens a snapshot of a database of the original service.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    result::Error,
    sql_types::{Text, Timestamptz},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::super::{
    Prepared,
    connect::{self, ConnectError, Purpose},
    session::Session,
};
use crate::config::PostgresConfig;

/// The transaction may be idle for 10 minutes while the import writes rows.
const BEGIN: &str = "
    SET idle_in_transaction_session_timeout = '10min';
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The columns that the import reads and the database does not have.
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

/// Why the original's database cannot be read.
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

/// A snapshot of a database of the original service.
pub struct Original {
    pub(super) session: Session,
    /// When the snapshot was taken.
    pub(super) now: DateTime<Utc>,
}

impl Original {
    /// Opens the database. Fails if it has another schema.
    pub async fn open(config: &PostgresConfig) -> Result<Self, OriginalError> {
        let no_limit = std::time::Duration::ZERO;
        let opened = connect::open_for(Purpose::Look, config, &config.database, no_limit).await;
        let mut session = match opened {
            // The text of `DatabaseMissing` advises `migrate`, which would be wrong here.
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
