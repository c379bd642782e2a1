//! How a connection is made and with which limits, and why it may fail. Pooling is in `session`.
//!
//! What bounds a call, whatever happens to the server:
//! - a statement that takes too long, or waits for a lock: `statement_timeout`, by the server;
//! - a transaction whose client went silent and whose locks others wait for: `idle_in_transaction_session_timeout`;
//! - a host that is dead or cut off: unacknowledged data for [`PEER_TIMEOUT`], or unanswered keepalives;
//! - a server that is paused while its kernel still acknowledges (no TCP option sees that): the session's deadline, which
//!   closes the socket from our side (`session`).

use std::{io, time::Duration};

use diesel_async::AsyncPgConnection;
use tokio_postgres::{NoTls, error::SqlState};

use super::session::Session;
use crate::config::PostgresConfig;

/// How long a peer may leave data unacknowledged.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a transaction of ours may wait for its client: a worker that is paused within one must not hold up the others
/// for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no connection. Each is one line for the operator and names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The one that may pass by itself.
    #[error("PostgreSQL at {server} cannot be reached: {cause} (POSTGRES_HOST, POSTGRES_PORT)")]
    Unreachable { server: String, cause: String },
    #[error("PostgreSQL at {server} refuses the login: {cause} (POSTGRES_USER, POSTGRES_PASSWORD)")]
    Credentials { server: String, cause: String },
    #[error(
        "PostgreSQL at {server} has no database \"{database}\" (POSTGRES_DB); `flashsale migrate run` makes it"
    )]
    DatabaseMissing { server: String, database: String },
    #[error(
        "PostgreSQL at {server} does not take the connection: {cause} (POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB)"
    )]
    Refused { server: String, cause: String },
    #[error("database \"{database}\" (POSTGRES_DB) lacks migrations: {}; run `flashsale migrate run`", .names.join(", "))]
    MigrationsMissing {
        database: String,
        names: Vec<String>,
    },
}

impl ConnectError {
    /// True if trying again later may help without anybody changing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Credentials { .. }
            | Self::DatabaseMissing { .. }
            | Self::Refused { .. }
            | Self::MigrationsMissing { .. } => false,
        }
    }
}

/// Opens a connection to this database of the configured server, within `pool_timeout`. A `statement_timeout` of zero
/// is none.
pub(super) async fn open(
    config: &PostgresConfig,
    database: &str,
    statement_timeout: Duration,
) -> Result<Session, ConnectError> {
    let connecting = async {
        let (client, connection) = settings(config, database, statement_timeout)
            .connect(NoTls)
            .await
            .map_err(|error| classify(config, database, &error))?;
        let deadline = Session::drive(connection, statement_timeout);
        let conn = AsyncPgConnection::try_from(client)
            .await
            .map_err(|error| unreachable(config, error.to_string()))?;
        Ok(Session::new(conn, deadline))
    };
    // No transaction runs here, so giving up is safe. `connect_timeout` alone would not cover the login.
    match tokio::time::timeout(config.pool_timeout, connecting).await {
        Ok(result) => result,
        Err(_) => Err(unreachable(
            config,
            format!("no answer within {:?}", config.pool_timeout),
        )),
    }
}

fn settings(
    config: &PostgresConfig,
    database: &str,
    statement_timeout: Duration,
) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(&config.host)
        .port(config.port)
        .user(&config.user)
        .password(config.password.reveal())
        .dbname(database)
        .application_name("flashsale")
        .connect_timeout(config.pool_timeout)
        .keepalives(true)
        .keepalives_idle(PEER_TIMEOUT / 2)
        .keepalives_interval(PEER_TIMEOUT / 5)
        .keepalives_retries(3)
        .tcp_user_timeout(PEER_TIMEOUT)
        // The server watches us likewise, so that the locks of a worker that was cut off do not outlive it for long.
        //
        // It compiles no statements: that takes longer than any of ours. And it looks rows up by their indexes, also in a
        // table that is small when the statement is prepared: a minute later it may be large, and the plan the same.
        .options(format!(
            "-c jit=off -c enable_seqscan=off -c statement_timeout={statement} -c idle_in_transaction_session_timeout={idle} \
             -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout={peer}",
            statement = statement_timeout.as_millis(),
            idle = IDLE_TIMEOUT.as_millis(),
            peer = PEER_TIMEOUT.as_millis(),
        ));
    settings
}

fn server(config: &PostgresConfig) -> String {
    format!("{}:{}", config.host, config.port)
}

fn unreachable(config: &PostgresConfig, cause: String) -> ConnectError {
    ConnectError::Unreachable {
        server: server(config),
        cause,
    }
}

fn classify(
    config: &PostgresConfig,
    database: &str,
    error: &tokio_postgres::Error,
) -> ConnectError {
    let server = server(config);
    if let Some(refusal) = error.as_db_error() {
        let cause = refusal.message().to_owned();
        let code = refusal.code();
        return if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        {
            ConnectError::Credentials { server, cause }
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            ConnectError::DatabaseMissing {
                server,
                database: database.to_owned(),
            }
        } else if ["08", "53", "57"]
            .iter()
            .any(|class| code.code().starts_with(class))
        {
            // Starting, stopping, or out of connections.
            ConnectError::Unreachable { server, cause }
        } else {
            ConnectError::Refused { server, cause }
        };
    }
    let source = std::error::Error::source(error);
    let cause = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    if error.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<io::Error>) {
        ConnectError::Unreachable { server, cause }
    } else {
        ConnectError::Refused { server, cause }
    }
}
