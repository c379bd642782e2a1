//! Reads the settings and the state of the server behind the ledger, for `doctor`. Changes nothing.

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Prepared,
    connect::{self, ConnectError, Purpose},
    migrate, rights,
};
use crate::{clock::Clock, config::PostgresConfig};

/// The settings and the state of a server and its database.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub version: String,
    /// The server takes no writes: it is a standby, or its settings say so.
    pub is_read_only: bool,
    /// A commit is on disk when it returns.
    pub is_durable: bool,
    /// Maximum number of connections without those that are reserved, for superusers for example.
    pub max_connections: i64,
    /// Client connections that are open now, without the one of this inspection.
    pub connections: i64,
    pub missing_migrations: Vec<String>,
    /// Keys, checks and triggers that enforce the promises, and that are missing, disabled or not validated.
    pub missing_guards: Vec<String>,
    /// Rights that `serve` and `work` need and that the user does not have, as GRANT spells them.
    pub missing_rights: Vec<String>,
    /// Number of workers of the group whose membership has not expired.
    pub workers: i64,
    /// Time of the server's clock minus time of ours, in milliseconds.
    pub clock_ahead_ms: i64,
}

/// Constraints, indexes and triggers that enforce the promises against every writer.
const GUARDS: [&str; 24] = [
    "users_username_lower_key",
    "users_email_lower_key",
    "flash_sales_remaining_stock_check",
    "flash_sales_no_overlap",
    "flash_sales_insert_stock_is_true",
    "flash_sales_update_stock_is_true",
    "orders_attempt_id_key",
    "orders_user_id_flash_sale_id_key",
    "orders_insert_names_what_exists",
    "orders_update_names_what_exists",
    "users_delete_keeps_orders",
    "users_update_keeps_orders",
    "users_truncate_keeps_orders",
    "flash_sales_delete_keeps_orders",
    "flash_sales_update_keeps_orders",
    "flash_sales_truncate_keeps_orders",
    "orders_insert_takes_units",
    "orders_delete_gives_back_units",
    "orders_update_moves_units",
    "orders_truncate_gives_back_units",
    "flash_sales_update_changes_terms",
    "flash_sales_update_keeps_state",
    "admin_actions_are_not_changed",
    "admin_actions_are_not_truncated",
];

const SERVER: &str = "
    SELECT current_setting('server_version') AS version,
        pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only,
        current_setting('fsync')::boolean AND current_setting('full_page_writes')::boolean
            AND current_setting('synchronous_commit') <> 'off' AS is_durable,
        current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
            - coalesce(current_setting('reserved_connections', true), '0')::bigint AS max_connections,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms";

const MISSING: &str = "
    SELECT name FROM unnest(?) AS name
    WHERE NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = name AND convalidated
            AND connamespace = current_schema()::regnamespace)
        AND NOT EXISTS (SELECT 1 FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE tgname = name
            AND tgenabled IN ('O', 'A') AND relnamespace = current_schema()::regnamespace)
        AND NOT EXISTS (SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = name
            AND indisvalid AND indisunique AND relnamespace = current_schema()::regnamespace)";

const WORKERS: &str = "
    SELECT count(*) AS workers FROM consumer_members WHERE group_name = ? AND topic = ? AND expires_at > now()";

#[derive(QueryableByName)]
struct ServerRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
    #[diesel(sql_type = Bool)]
    is_durable: bool,
    #[diesel(sql_type = BigInt)]
    max_connections: i64,
    #[diesel(sql_type = BigInt)]
    connections: i64,
    #[diesel(sql_type = BigInt)]
    now_ms: i64,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct WorkersRow {
    #[diesel(sql_type = BigInt)]
    workers: i64,
}

/// Inspects the configured database. `group` and `topic` are those of the workers.
pub async fn inspect(
    config: &PostgresConfig,
    group: &str,
    topic: &str,
    clock: &dyn Clock,
) -> Result<Inspection, ConnectError> {
    let missing_migrations = match migrate::status(config).await {
        Ok(states) => states
            .into_iter()
            .filter(|state| !state.applied)
            .map(|state| state.name)
            .collect::<Vec<_>>(),
        Err(migrate::MigrateError::Connect(error)) => return Err(error),
        Err(error) => vec![error.to_string()],
    };
    let mut session = connect::open_for(
        Purpose::Look,
        config,
        &config.database,
        config.statement_timeout,
    )
    .await?;
    let refused = |error: diesel::result::Error| ConnectError::Refused {
        server: config.server(),
        cause: error.to_string(),
    };
    let before = clock.now();
    let server: ServerRow = Prepared::new(SERVER)
        .get_result(&mut *session)
        .await
        .map_err(refused)?;
    let midway = before + (clock.now() - before) / 2;
    // Left out if migrations are missing: tables may be missing, too, and the cause is reported already.
    let (mut missing_guards, mut missing_rights, mut workers) = (Vec::new(), Vec::new(), 0);
    if missing_migrations.is_empty() {
        let missing: Vec<NameRow> = Prepared::new(MISSING)
            .bind::<Array<Text>, _>(GUARDS.map(str::to_owned).to_vec())
            .load(&mut *session)
            .await
            .map_err(refused)?;
        missing_guards = missing.into_iter().map(|row| row.name).collect();
        let live: WorkersRow = Prepared::new(WORKERS)
            .bind::<Text, _>(group.to_owned())
            .bind::<Text, _>(topic.to_owned())
            .get_result(&mut *session)
            .await
            .map_err(refused)?;
        workers = live.workers;
        missing_rights = rights::missing(&mut session).await.map_err(refused)?;
    }
    Ok(Inspection {
        version: server.version,
        is_read_only: server.is_read_only,
        is_durable: server.is_durable,
        max_connections: server.max_connections,
        // Without our own connection.
        connections: server.connections - 1,
        missing_migrations,
        missing_guards,
        missing_rights,
        workers,
        clock_ahead_ms: server.now_ms - midway.timestamp_millis(),
    })
}
