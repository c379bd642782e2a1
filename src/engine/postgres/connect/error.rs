//! Why there is no connection, by the error of the library or the code of the server.

use std::io;

use tokio_postgres::error::SqlState;

use super::super::{
    failure::{self, Retry},
    watch::PasswordInClear,
};
use crate::{
    config::{Pooler, PostgresConfig, TlsMode},
    ids::LedgerId,
};

/// Why there is no connection. Each text is one line for the operator and names the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// May pass by itself.
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
    #[error(
        "PostgreSQL at {server} takes no writes: a standby, or default_transaction_read_only (POSTGRES_HOST)"
    )]
    ReadOnly { server: String },
    /// May pass by itself: `PgBouncer` answers with the same code (08P01) for a wrong login, for a missing database, and for a
    /// server behind it that does not answer.
    #[error(
        "the pooler at {server} gives no session: {cause} (POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB; or PostgreSQL behind it \
         does not answer)"
    )]
    Pooler { server: String, cause: String },
    /// Another database has taken the place of the one that was opened, as after a wrong failover.
    #[error("the database is not the one that was opened: its ledger is {found}, not {expected}")]
    AnotherLedger { expected: LedgerId, found: LedgerId },
    #[error(
        "PostgreSQL at {server} is behind a pooler in transaction mode, which mixes the prepared statements and settings of its clients: \
         set POSTGRES_POOLER=transaction (not for `flashsale migrate`), or pool_mode = session for this database in PgBouncer, \
         or connect to PostgreSQL itself (POSTGRES_HOST, POSTGRES_PORT)"
    )]
    SharedSessions { server: String },
    #[error("{0} (POSTGRES_CA_FILE, POSTGRES_CERT_FILE, POSTGRES_KEY_FILE)")]
    Certificates(String),
    #[error("no TLS with PostgreSQL at {server}: {cause} (POSTGRES_TLS, POSTGRES_CA_FILE)")]
    Tls { server: String, cause: String },
    #[error(
        "PostgreSQL at {server}: {PasswordInClear} (POSTGRES_TLS=verify-full, or scram-sha-256 in pg_hba.conf)"
    )]
    PasswordInClear { server: String },
    #[error("database \"{database}\" (POSTGRES_DB) lacks migrations: {}; run `flashsale migrate run`", .names.join(", "))]
    MigrationsMissing {
        database: String,
        names: Vec<String>,
    },
    #[error(
        "user \"{user}\" (POSTGRES_USER) lacks rights: {}; run `flashsale migrate run --grant-to {user}` as the owner of the tables",
        .missing.join(", ")
    )]
    RightsMissing {
        user: String,
        /// As GRANT spells them.
        missing: Vec<String>,
    },
    #[error(
        "database \"{database}\" (POSTGRES_DB) is one of the original service: leave it as it is, set POSTGRES_DB to a new name, \
         run `flashsale migrate`, then `flashsale import --from-original {database}` (docs/COMPATIBILITY.md)"
    )]
    OriginalSchema { database: String },
}

impl ConnectError {
    /// True if a later try may succeed without a change by an operator.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::ReadOnly { .. } | Self::Pooler { .. } => true,
            Self::AnotherLedger { .. }
            | Self::SharedSessions { .. }
            | Self::Certificates(_)
            | Self::Tls { .. }
            | Self::PasswordInClear { .. }
            | Self::Credentials { .. }
            | Self::DatabaseMissing { .. }
            | Self::Refused { .. }
            | Self::MigrationsMissing { .. }
            | Self::RightsMissing { .. }
            | Self::OriginalSchema { .. } => false,
        }
    }
}

pub(super) fn unreachable(config: &PostgresConfig, cause: String) -> ConnectError {
    ConnectError::Unreachable {
        server: config.server(),
        cause,
    }
}

pub(super) fn no_answer(config: &PostgresConfig) -> ConnectError {
    unreachable(
        config,
        format!("no answer within {:?}", config.pool_timeout),
    )
}

/// Why a login or a statement of a new session failed.
pub(super) fn classify(
    config: &PostgresConfig,
    database: &str,
    error: &tokio_postgres::Error,
) -> ConnectError {
    let server = config.server();
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
        } else if config.pooler == Pooler::Transaction && *code == SqlState::PROTOCOL_VIOLATION {
            ConnectError::Pooler { server, cause }
        } else if is_passing(code) {
            // The server is starting, stopping, or out of connections.
            ConnectError::Unreachable { server, cause }
        } else {
            ConnectError::Refused { server, cause }
        };
    }
    let source = std::error::Error::source(error);
    let io = source.and_then(<dyn std::error::Error>::downcast_ref::<io::Error>);
    let inner = io.and_then(io::Error::get_ref);
    if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<PasswordInClear>) {
        return ConnectError::PasswordInClear { server };
    }
    let tls = inner.and_then(<dyn std::error::Error + Send + Sync>::downcast_ref::<rustls::Error>);
    if let Some(tls) = tls {
        let cause = tls.to_string();
        return ConnectError::Tls { server, cause };
    }
    let cause = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    if error.is_closed() || io.is_some() {
        ConnectError::Unreachable { server, cause }
    } else if config.tls.mode != TlsMode::Disable {
        // The library does not distinguish the causes. The usual one is a server without TLS.
        ConnectError::Tls { server, cause }
    } else {
        ConnectError::Refused { server, cause }
    }
}

/// True if a refused login may succeed later.
fn is_passing(code: &SqlState) -> bool {
    // A server, or a pooler with other settings, that refuses a startup parameter will always refuse it.
    if *code == SqlState::PROTOCOL_VIOLATION {
        return false;
    }
    let bytes = <[u8; 5]>::try_from(code.code().as_bytes());
    bytes.is_ok_and(|code| failure::effect(code).retry == Retry::Later)
}
