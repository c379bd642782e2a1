//! Creates the database, and applies, reverts and lists the migrations of its schema. The migrations are part of the binary.

use diesel::{migration::Migration, pg::Pg, sql_types::Bool};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::{collections::BTreeSet, time::Duration};

use super::{
    Prepared,
    connect::{self, ConnectError, Purpose},
    keys,
    original::is_original,
    rights::RIGHTS,
    session::Session,
};
use crate::{
    config::{Pooler, PostgresConfig},
    engine::migration::{KEYS_AT_ONCE, Migrated, MigrationState, OwnMigrations},
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Sessions that computing the missing keys may use before it fails.
const SESSIONS: u32 = 3;
/// Concurrent migration jobs take turns by this advisory lock of the database ("flashsal" in ASCII).
const LOCK: &str = "SET lock_timeout = '60s'; SELECT pg_advisory_lock(7380962166867452268)";

/// Why the schema could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(
        "database \"{database}\" (POSTGRES_DB) does not exist and user \"{user}\" (POSTGRES_USER) cannot make it: {cause}"
    )]
    CreateDatabase {
        database: String,
        user: String,
        cause: String,
    },
    #[error(
        "migrations need a session of their own, which a pooler in transaction mode does not give (POSTGRES_POOLER): \
         run `flashsale migrate` with POSTGRES_POOLER=none on PostgreSQL itself (POSTGRES_HOST, POSTGRES_PORT)"
    )]
    Pooler,
    #[error(
        "user \"{user}\" (POSTGRES_USER) may not change the schema: {cause}; run `flashsale migrate` as the owner of the tables, \
         and give other users their rights with --grant-to"
    )]
    Rights { user: String, cause: String },
    #[error("the rights cannot be granted to role \"{role}\" (--grant-to): {cause}")]
    Grant { role: String, cause: String },
    #[error("migrating: {0}")]
    Failed(String),
}

/// Creates the database if it is missing. Returns true if it was missing.
pub async fn ensure_database(config: &PostgresConfig) -> Result<bool, MigrateError> {
    match connect::open(config, &config.database, Duration::ZERO).await {
        Ok(_) => return Ok(false),
        Err(ConnectError::DatabaseMissing { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut session = match connect::open(config, "postgres", config.statement_timeout).await {
        Err(ConnectError::DatabaseMissing { .. }) => {
            connect::open(config, "template1", config.statement_timeout).await?
        }
        other => other?,
    };
    let create = format!("CREATE DATABASE {}", quoted(&config.database));
    let Err(error) = session.batch_execute(&create).await else {
        return Ok(true);
    };
    // A concurrent job may have created it meanwhile.
    match connect::open(config, &config.database, Duration::ZERO).await {
        Ok(_) => Ok(false),
        Err(_) => Err(MigrateError::CreateDatabase {
            database: config.database.clone(),
            user: config.user.clone(),
            cause: error.to_string(),
        }),
    }
}

/// From this migration on, names are unique by the keys of accounts, so the keys are computed before it. A version is the date
/// and number of a migration's name, without dashes.
const ACCOUNTS_BY_KEY: &str = "20261129002020";

/// Applies the pending migrations, each in a transaction, and computes the keys of accounts that have none. Returns the applied
/// migrations, and the accounts whose names clash.
pub async fn run(config: &PostgresConfig) -> Result<Migrated, MigrateError> {
    let mut migrated = Migrated {
        applied: run_while(config, |version| version < ACCOUNTS_BY_KEY).await?,
        ..Migrated::default()
    };
    migrated.set_keys(config).await?;
    migrated.applied.extend(run_while(config, |_| true).await?);
    Ok(migrated)
}

impl Migrated {
    async fn set_keys(&mut self, config: &PostgresConfig) -> Result<(), MigrateError> {
        let open = || connect::open(config, &config.database, config.statement_timeout);
        let mut session = open().await?;
        let mut after = Some(i64::MIN);
        let mut sessions = 1;
        while let Some(last) = after {
            match keys::set_missing(&mut session, last, KEYS_AT_ONCE).await {
                Ok(page) => {
                    after = page.last;
                    self.clashes.add(page.clashes);
                }
                // Another job may have changed a column that the session's prepared statement reads.
                Err(_) if sessions < SESSIONS => {
                    sessions += 1;
                    session = open().await?;
                }
                Err(error) => return Err(MigrateError::Failed(error.to_string())),
            }
        }
        Ok(())
    }
}

/// Applies the pending migrations in order, up to the first one whose version is not `wanted`. Returns the names of the applied
/// ones.
async fn run_while(
    config: &PostgresConfig,
    wanted: fn(&str) -> bool,
) -> Result<Vec<String>, MigrateError> {
    with_harness(config, move |harness| {
        let mut applied = Vec::new();
        for migration in harness.pending_migrations(MIGRATIONS)? {
            if !wanted(&migration.name().version().to_string()) {
                break;
            }
            harness.run_migration(&migration)?;
            applied.push(migration.name().to_string());
        }
        Ok(applied)
    })
    .await
}

/// Grants a role the rights that `serve` and `work` need. The role then owns nothing and cannot change the schema.
pub async fn grant(config: &PostgresConfig, to: &str) -> Result<(), MigrateError> {
    let role = quoted(to);
    let mut statements = format!(
        "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', current_schema(), {}); END $$;",
        literal(&role)
    );
    for right in RIGHTS {
        statements.extend(["GRANT ", right, " TO ", &role, ";"]);
    }
    let mut session = connect::open(config, &config.database, config.statement_timeout).await?;
    session
        .batch_execute(&statements)
        .await
        .map_err(|error| MigrateError::Grant {
            role: to.to_owned(),
            cause: error.to_string(),
        })
}

/// Reverts the last applied migration. Returns its name, or `None` if no migration is applied.
pub async fn revert(config: &PostgresConfig) -> Result<Option<String>, MigrateError> {
    with_harness(config, |harness| {
        if harness.applied_migrations()?.is_empty() {
            return Ok(None);
        }
        harness
            .revert_last_migration(MIGRATIONS)
            .map(|version| Some(own().name_of(&version)))
    })
    .await
}

/// Reverts all migrations, which deletes all data. Returns their names, the last one first.
pub async fn reset(config: &PostgresConfig) -> Result<Vec<String>, MigrateError> {
    with_harness(config, |harness| {
        Ok(harness
            .revert_all_migrations(MIGRATIONS)?
            .iter()
            .map(|version| own().name_of(version))
            .collect())
    })
    .await
}

/// All migrations of this version in order, then those that only the database has. Changes nothing.
pub async fn status(config: &PostgresConfig) -> Result<Vec<MigrationState>, MigrateError> {
    let mut session = connect::open_for(
        Purpose::Look,
        config,
        &config.database,
        config.statement_timeout,
    )
    .await?;
    let applied = applied_versions(&mut session)
        .await
        .map_err(|error| MigrateError::Failed(error.to_string()))?;
    refuse_original(config, &mut session, &applied).await?;
    Ok(own().compare(&applied))
}

/// Checks that the database has all migrations of this version. It may have more: the migrations of a new version are applied
/// before its processes start, and processes of the old version must be able to start meanwhile.
pub(super) async fn check(
    config: &PostgresConfig,
    session: &mut Session,
) -> Result<(), ConnectError> {
    let code = session.code();
    let applied = applied_versions(session)
        .await
        .map_err(|error| match code.get() {
            // insufficient_privilege
            Some(code) if &code == b"42501" => ConnectError::RightsMissing {
                user: config.user.clone(),
                missing: vec!["SELECT ON __diesel_schema_migrations".to_owned()],
            },
            _ => ConnectError::Unreachable {
                server: config.server(),
                cause: error.to_string(),
            },
        })?;
    refuse_original(config, session, &applied).await?;
    let database = config.database.clone();
    let names: Vec<String> = own()
        .compare(&applied)
        .into_iter()
        .filter(|state| !state.applied)
        .map(|state| state.name)
        .collect();
    if !names.is_empty() {
        return Err(ConnectError::MigrationsMissing { database, names });
    }
    let versions = own().unknown(&applied);
    if !versions.is_empty() {
        tracing::warn!(
            ?versions,
            "the database is ahead of this version, as while a new one is rolled out"
        );
    }
    Ok(())
}

type Harness = AsyncMigrationHarness<AsyncPgConnection>;
type HarnessResult<T> = diesel::migration::Result<T>;

/// Runs blocking work on the migrations while it holds the lock of the database. There is no statement timeout, since
/// migrations may take long.
async fn with_harness<T: Send + 'static>(
    config: &PostgresConfig,
    work: impl FnOnce(&mut Harness) -> HarnessResult<T> + Send + 'static,
) -> Result<T, MigrateError> {
    let mut session = connect::open(config, &config.database, Duration::ZERO).await?;
    // The lock below and the settings of a migration belong to a session.
    connect::refuse_shared_sessions(config, &config.database).await?;
    if config.pooler == Pooler::Transaction {
        return Err(MigrateError::Pooler);
    }
    session
        .batch_execute(LOCK)
        .await
        .map_err(|error| MigrateError::Failed(error.to_string()))?;
    let applied = applied_versions(&mut session)
        .await
        .map_err(|error| MigrateError::Failed(error.to_string()))?;
    refuse_original(config, &mut session, &applied).await?;
    // The lock is released when the session's connection closes, also if this process dies.
    let (user, code) = (config.user.clone(), session.code());
    tokio::task::spawn_blocking(move || {
        let (conn, deadline) = session.into_parts();
        let mut harness = Harness::new(conn);
        let result = work(&mut harness).map_err(|error| {
            let cause = error.to_string();
            // insufficient_privilege
            if code.get() == Some(*b"42501") {
                MigrateError::Rights { user, cause }
            } else {
                MigrateError::Failed(cause)
            }
        });
        drop((harness, deadline));
        result
    })
    .await
    .map_err(|error| MigrateError::Failed(error.to_string()))?
}

/// Fails on a database of the original service, which must stay unchanged: this service needs a database of its own.
async fn refuse_original(
    config: &PostgresConfig,
    session: &mut Session,
    applied: &BTreeSet<String>,
) -> Result<(), ConnectError> {
    // A database with migrations is one of ours. Its tables need no check.
    if !applied.is_empty() {
        return Ok(());
    }
    match is_original(session).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(ConnectError::OriginalSchema {
            database: config.database.clone(),
        }),
        Err(error) => Err(ConnectError::Unreachable {
            server: format!("{}:{}", config.host, config.port),
            cause: error.to_string(),
        }),
    }
}

#[derive(diesel::QueryableByName)]
struct ExistsRow {
    #[diesel(sql_type = Bool)]
    there: bool,
}

#[derive(diesel::QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = diesel::sql_types::Text)]
    version: String,
}

async fn applied_versions(session: &mut Session) -> diesel::QueryResult<BTreeSet<String>> {
    let table: ExistsRow =
        Prepared::new("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS there")
            .get_result(session)
            .await?;
    if !table.there {
        return Ok(BTreeSet::new());
    }
    let rows: Vec<VersionRow> = Prepared::new("SELECT version FROM __diesel_schema_migrations")
        .load(session)
        .await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

fn own() -> OwnMigrations<Pg> {
    OwnMigrations::of(&MIGRATIONS)
}

/// An SQL identifier in quotes. Safe for every text.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// An SQL string literal. Safe for every text.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_whatever_is_in_them() {
        assert_eq!(quoted("flash_sale"), "\"flash_sale\"");
        assert_eq!(
            quoted("a\"; DROP DATABASE b; --"),
            "\"a\"\"; DROP DATABASE b; --\""
        );
    }
}
