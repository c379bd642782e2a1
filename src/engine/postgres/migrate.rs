//! The schema: made, taken back and checked. The migrations are part of the program.

use diesel::{
    QueryableByName,
    migration::{Migration, MigrationSource},
    pg::Pg,
    sql_query,
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::pool::{ConnectError, connect_once};
use crate::config::PostgresConfig;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// The advisory lock that one `migrate` at a time holds. A number of our own: "flashsal" in ASCII.
const LOCK: i64 = 0x666c_6173_6873_616c;
/// PostgreSQL's own database, to make ours from.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Why the schema is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the database {database} lacks {count} migrations; run `flashsale migrate`")]
    Pending { database: String, count: usize },
    #[error("the database cannot be migrated: {0}")]
    Failed(String),
}

/// A migration of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    pub name: String,
    pub applied: bool,
}

/// The schema of one database, while nobody else migrates it.
pub struct Migrations {
    harness: AsyncMigrationHarness<AsyncPgConnection>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct FlagRow {
    #[diesel(sql_type = Bool)]
    flag: bool,
}

impl Migrations {
    /// Makes the database if it is missing and the role may. True if it was made now.
    pub async fn ensure_database(config: &PostgresConfig) -> Result<bool, MigrateError> {
        match connect_once(config).await {
            Ok(_) => return Ok(false),
            Err(ConnectError::DatabaseMissing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let maintenance = PostgresConfig {
            database: MAINTENANCE_DATABASE.to_owned(),
            ..config.clone()
        };
        let mut connection = connect_once(&maintenance).await?;
        let quoted = config.database.replace('"', "\"\"");
        match sql_query(format!("CREATE DATABASE \"{quoted}\""))
            .execute(&mut connection)
            .await
        {
            Ok(_) => Ok(true),
            // Somebody else made it at the same moment.
            Err(_) if connect_once(config).await.is_ok() => Ok(false),
            Err(error) => Err(MigrateError::Failed(format!(
                "the database {} is missing and {} may not make it ({error}); make it, or see POSTGRES_DB",
                config.database, config.user
            ))),
        }
    }

    /// Takes the lock; waits a while for a `migrate` elsewhere.
    pub async fn open(config: &PostgresConfig) -> Result<Self, MigrateError> {
        // A migration of a large table takes as long as it takes.
        let patient = PostgresConfig {
            statement_timeout: std::time::Duration::ZERO,
            ..config.clone()
        };
        let mut connection = connect_once(&patient).await?;
        let mut tries = 0;
        // Gone with the connection.
        while !sql_query("SELECT pg_try_advisory_lock($1) AS flag")
            .bind::<BigInt, _>(LOCK)
            .get_result::<FlagRow>(&mut connection)
            .await
            .map_err(failed)?
            .flag
        {
            tries += 1;
            if tries == 120 {
                return Err(MigrateError::Failed(
                    "another migrate has been running for a minute".to_owned(),
                ));
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        Ok(Self {
            harness: AsyncMigrationHarness::new(connection),
        })
    }

    /// Applies what is missing; the names of what was applied.
    pub fn run(&mut self) -> Result<Vec<String>, MigrateError> {
        self.harness
            .run_pending_migrations(MIGRATIONS)
            .map(names)
            .map_err(failed)
    }

    /// Takes the last one back; its name, if there was one.
    pub fn revert(&mut self) -> Result<Option<String>, MigrateError> {
        if self
            .harness
            .applied_migrations()
            .map_err(failed)?
            .is_empty()
        {
            return Ok(None);
        }
        let version = self
            .harness
            .revert_last_migration(MIGRATIONS)
            .map_err(failed)?;
        Ok(names([version]).pop())
    }

    /// Takes all of them back, and with them every row; the names.
    pub fn revert_all(&mut self) -> Result<Vec<String>, MigrateError> {
        self.harness
            .revert_all_migrations(MIGRATIONS)
            .map(names)
            .map_err(failed)
    }

    /// Every migration of this program.
    pub fn status(&mut self) -> Result<Vec<AppliedMigration>, MigrateError> {
        let applied = names(self.harness.applied_migrations().map_err(failed)?);
        Ok(known()?
            .into_iter()
            .map(|name| AppliedMigration {
                applied: applied.contains(&name),
                name,
            })
            .collect())
    }

    /// Makes sure that nothing is missing. A database that is ahead is fine: the next version's schema comes first.
    pub async fn check(config: &PostgresConfig) -> Result<(), MigrateError> {
        let mut connection = connect_once(config).await?;
        let made =
            sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS flag")
                .get_result::<FlagRow>(&mut connection)
                .await
                .map_err(failed)?;
        let mut applied = 0;
        if made.flag {
            let row = sql_query(
                "SELECT count(*) FROM __diesel_schema_migrations WHERE version = ANY($1)",
            )
            .bind::<Array<Text>, _>(known()?)
            .get_result::<CountRow>(&mut connection)
            .await
            .map_err(failed)?;
            applied = usize::try_from(row.count).unwrap_or(0);
        }
        match known()?.len().saturating_sub(applied) {
            0 => Ok(()),
            count => Err(MigrateError::Pending {
                database: config.database.clone(),
                count,
            }),
        }
    }
}

/// The versions of this program's migrations, in order.
fn known() -> Result<Vec<String>, MigrateError> {
    let migrations: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(failed)?;
    let mut names = names(
        migrations
            .iter()
            .map(|migration| migration.name().version()),
    );
    names.sort();
    Ok(names)
}

fn names(versions: impl IntoIterator<Item: ToString>) -> Vec<String> {
    versions
        .into_iter()
        .map(|version| version.to_string())
        .collect()
}

#[allow(clippy::needless_pass_by_value)] // so that it fits map_err
fn failed(error: impl ToString) -> MigrateError {
    MigrateError::Failed(error.to_string())
}
