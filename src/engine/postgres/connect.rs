//! Opens connections with their limits. `pool` keeps them.
//!
//! The limits that bound each call:
//! - for a statement that runs or waits for a lock for too long: `statement_timeout`, which the server enforces;
//! - for a transaction whose client is silent while others wait for its locks: `idle_in_transaction_session_timeout`;
//! - for a host that is dead or cut off: [`PEER_TIMEOUT`] for unacknowledged data, and keepalives;
//! - for a server that is paused while its kernel still acknowledges data, which no TCP option detects: the session's deadline,
//!   which closes the socket from our side (`session`).

mod error;

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, config::SslMode};

pub use error::ConnectError;

use self::error::{classify, no_answer, unreachable};
use super::{
    session::{Deadline, Session},
    transport::{self, Connected, Encrypt, PEER_TIMEOUT},
    unnamed::Unnamed,
    watch::{LastCode, Watched},
};
use crate::{
    config::{Pooler, PostgresConfig, with_port},
    engine::tls,
};

/// Number of times that two connections are compared: a busy pooler may give them different sessions by chance.
const SHARING_CHECKS: usize = 3;

/// How long a transaction may wait for its client: a worker that is paused within a transaction must not block the others for
/// longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens a connection to this database on the first configured host that takes writes, within `pool_timeout`. A
/// `statement_timeout` of zero means no limit.
pub(super) async fn open(
    config: &PostgresConfig,
    database: &str,
    statement_timeout: Duration,
) -> Result<Session, ConnectError> {
    open_for(Purpose::Write, config, database, statement_timeout).await
}

/// The use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Writes: a server that takes no writes is passed over.
    Write,
    /// Reads only.
    Look,
}

/// Like [`open`], for this purpose.
pub(super) async fn open_for(
    purpose: Purpose,
    config: &PostgresConfig,
    database: &str,
    statement_timeout: Duration,
) -> Result<Session, ConnectError> {
    let mut last = unreachable(config, "no host is configured".to_owned());
    for (at, until) in servers_until(config) {
        let opening = open_on(purpose, &at, config, database, statement_timeout, until);
        // No transaction runs yet, so dropping the future is safe.
        match tokio::time::timeout_at(until, opening).await {
            Ok(Ok(session)) => return Ok(session),
            // The other hosts would fail alike: the certificates are read from our files.
            Ok(Err(error @ ConnectError::Certificates(_))) => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => last = no_answer(config),
        }
    }
    Err(last)
}

/// The configured servers, each with its deadline. All share `pool_timeout`: a host that does not answer takes only its share, so
/// that time is left for the next one, which may be the new primary.
fn servers_until(config: &PostgresConfig) -> impl Iterator<Item = ((String, u16), Instant)> {
    let deadline = Instant::now() + config.pool_timeout;
    let servers = config.servers();
    let count = servers.len();
    servers.into_iter().enumerate().map(move |(index, server)| {
        let left = u32::try_from(count - index).unwrap_or(u32::MAX);
        (server, Instant::now() + (deadline - Instant::now()) / left)
    })
}

async fn open_on(
    purpose: Purpose,
    at: &(String, u16),
    config: &PostgresConfig,
    database: &str,
    statement_timeout: Duration,
    until: Instant,
) -> Result<Session, ConnectError> {
    let code = LastCode::default();
    let (client, deadline) = log_in(at, config, database, &code, statement_timeout, until).await?;
    // Behind a pooler in transaction mode the next transaction may run in another session: each one applies the settings itself.
    if config.pooler == Pooler::None {
        client
            .batch_execute(&session_settings(statement_timeout))
            .await
            .map_err(|error| classify(config, database, &error))?;
    }
    let conn = AsyncPgConnection::try_from(client)
        .await
        .map_err(|error| unreachable(config, error.to_string()))?;
    let mut session = Session::new(conn, deadline, code);
    if purpose == Purpose::Look {
        return Ok(session);
    }
    match session.takes_writes().await {
        Ok(true) => Ok(session),
        Ok(false) => Err(ConnectError::ReadOnly {
            server: with_port(&at.0, at.1),
        }),
        Err(error) => Err(unreachable(config, error.to_string())),
    }
}

/// Logs in. Returns the client, and the deadline of the task that moves its bytes.
async fn log_in(
    at: &(String, u16),
    config: &PostgresConfig,
    database: &str,
    code: &LastCode,
    statement_timeout: Duration,
    until: Instant,
) -> Result<(Client, Deadline), ConnectError> {
    let connected = transport::connect(&at.0, at.1, until)
        .await
        .map_err(|error| unreachable(config, error.to_string()))?;
    log_in_over(connected, &at.0, config, database, code, statement_timeout).await
}

/// [`log_in`] on a connected socket.
async fn log_in_over(
    Connected { stream, is_local }: Connected,
    host: &str,
    config: &PostgresConfig,
    database: &str,
    code: &LastCode,
    statement_timeout: Duration,
) -> Result<(Client, Deadline), ConnectError> {
    let tls =
        tls::client(&config.tls).map_err(|error| ConnectError::Certificates(error.to_string()))?;
    let is_pooled = config.pooler == Pooler::Transaction;
    let failed = |error: tokio_postgres::Error| classify(config, database, &error);
    let mut settings = settings(config, database);
    if let Some(tls) = tls {
        settings.ssl_mode(SslMode::Require);
        let encrypt = Encrypt::new(tls, host, code.clone(), is_pooled);
        let (client, connection) = settings
            .connect_raw(stream, encrypt)
            .await
            .map_err(failed)?;
        Ok((client, Session::drive(connection, statement_timeout)))
    } else {
        settings.ssl_mode(SslMode::Disable);
        let watched = Watched::new(stream, code.clone(), is_local);
        let (client, connection) = settings
            .connect_raw(Unnamed::new(watched, is_pooled), NoTls)
            .await
            .map_err(failed)?;
        Ok((client, Session::drive(connection, statement_timeout)))
    }
}

/// Contains the version, so that a migration can distinguish sessions of this version from those of an earlier one.
const APPLICATION: &str = concat!("flashsale/", env!("CARGO_PKG_VERSION"));

fn settings(config: &PostgresConfig, database: &str) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .user(&config.user)
        .password(config.password.reveal())
        .dbname(database)
        .application_name(APPLICATION);
    settings
}

/// The settings of a session. They are set by a statement, since `PgBouncer` refuses the startup parameter `options`.
///
/// With the TCP settings the server detects a worker that was cut off, and releases its locks soon. JIT compilation is off
/// because it takes longer than our statements. Sequential scans are off because a plan that was made while a table was small
/// would still be used when the table is large.
fn session_settings(statement_timeout: Duration) -> String {
    format!(
        "SET jit = off; SET enable_seqscan = off; SET statement_timeout = {statement}; \
         SET idle_in_transaction_session_timeout = {idle}; SET tcp_keepalives_idle = 5; \
         SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET tcp_user_timeout = {peer}",
        statement = statement_timeout.as_millis(),
        idle = IDLE_TIMEOUT.as_millis(),
        peer = PEER_TIMEOUT.as_millis(),
    )
}

/// The settings of one transaction, for a pooler that may run the next transaction in another session.
pub(super) fn transaction_settings(statement_timeout: Duration) -> String {
    format!(
        "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = {statement}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle}",
        statement = statement_timeout.as_millis(),
        idle = IDLE_TIMEOUT.as_millis(),
    )
}

/// Fails if two connections share a session of the server, as behind a pooler in transaction or statement mode: prepared
/// statements and settings of clients would mix there. A pooler in session mode passes. Not checked if the setting names such a
/// pooler.
pub(super) async fn refuse_shared_sessions(
    config: &PostgresConfig,
    database: &str,
) -> Result<(), ConnectError> {
    if config.pooler == Pooler::Transaction {
        return Ok(());
    }
    let mut last = Ok(());
    for (at, until) in servers_until(config) {
        let checking = shares_sessions(&at, config, database, until);
        match tokio::time::timeout_at(until, checking).await {
            Ok(Ok(false)) => return Ok(()),
            Ok(Ok(true)) => {
                return Err(ConnectError::SharedSessions {
                    server: with_port(&at.0, at.1),
                });
            }
            Ok(Err(error)) => last = Err(error),
            Err(_) => last = Err(no_answer(config)),
        }
    }
    last
}

async fn shares_sessions(
    at: &(String, u16),
    config: &PostgresConfig,
    database: &str,
    until: Instant,
) -> Result<bool, ConnectError> {
    let code = LastCode::default();
    let limit = config.statement_timeout;
    let (one, _one) = log_in(at, config, database, &code, limit, until).await?;
    let (other, _other) = log_in(at, config, database, &code, limit, until).await?;
    for _ in 0..SHARING_CHECKS {
        let (first, second) = (backend(&one).await, backend(&other).await);
        if first.is_some() && first == second {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The id of the server process that answers. Uses the simple protocol, which prepares no statement.
async fn backend(client: &Client) -> Option<String> {
    let answer = client.simple_query("SELECT pg_backend_pid()").await.ok()?;
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::config::{Secret, TlsConfig};

    /// Logs in to a server that answers the startup message with this request. Returns the bytes that the server got afterwards,
    /// and the error of the login.
    async fn ask_for_password(request: &[u8], is_local: bool) -> (Vec<u8>, ConnectError) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = PostgresConfig {
            host: "127.0.0.1".to_owned(),
            port,
            tls: TlsConfig::NONE,
            pooler: Pooler::None,
            user: "shop".to_owned(),
            password: Secret::new("hunter22"),
            database: "shop".to_owned(),
            pool_size: 2,
            pool_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
        };
        let impostor = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut startup = [0; 1024];
            assert!(socket.read(&mut startup).await.unwrap() > 0);
            socket.write_all(request).await.unwrap();
            let mut answer = vec![0; 1024];
            let size = socket.read(&mut answer).await.unwrap();
            answer.truncate(size);
            answer
        };
        let login = async {
            let mut connected =
                transport::connect("127.0.0.1", port, Instant::now() + Duration::from_secs(5))
                    .await
                    .unwrap();
            connected.is_local = is_local;
            let code = LastCode::default();
            let timeout = Duration::from_secs(5);
            log_in_over(connected, "127.0.0.1", &config, "shop", &code, timeout)
                .await
                .err()
                .unwrap()
        };
        tokio::join!(impostor, login)
    }

    #[tokio::test]
    async fn an_impostor_on_another_machine_gets_neither_the_password_nor_its_hash() {
        for request in [&b"R\0\0\0\x08\0\0\0\x03"[..], b"R\0\0\0\x0c\0\0\0\x05salt"] {
            let (answer, error) = ask_for_password(request, false).await;
            assert_eq!(answer, b"");
            assert!(
                matches!(error, ConnectError::PasswordInClear { .. }),
                "{error}"
            );
            assert!(!error.is_passing());
        }
    }

    #[tokio::test]
    async fn a_server_on_this_machine_may_ask_for_the_password() {
        let (answer, _) = ask_for_password(b"R\0\0\0\x08\0\0\0\x03", true).await;
        assert_eq!(answer, b"p\0\0\0\x0dhunter22\0");
    }
}
