//! Connections: made, shared and given up within bounded times.

use std::{error::Error as _, time::Duration};

use diesel_async::{
    AsyncPgConnection, RunQueryDsl,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError as ManagerError,
        deadpool::{self, Object},
    },
};
use futures::{FutureExt, future::BoxFuture};
use tokio_postgres::{NoTls, error::SqlState};

use super::migrate::MigrateError;
use crate::{config::PostgresConfig, port::LedgerError};

/// A server that does not acknowledge what was sent for so long is taken for gone, also in the middle of a transaction.
const DEAD_PEER: Duration = Duration::from_secs(15);
/// What an answer may take beyond the server's own limit for a statement.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

/// Why there is no connection to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Worth trying again later.
    #[error("PostgreSQL cannot be reached ({0}); see POSTGRES_HOST and POSTGRES_PORT")]
    Unreachable(String),
    #[error("PostgreSQL refuses the login ({0}); see POSTGRES_USER and POSTGRES_PASSWORD")]
    CredentialsRefused(String),
    #[error(
        "PostgreSQL has no such database ({0}); run `flashsale migrate` first, or see POSTGRES_DB"
    )]
    DatabaseMissing(String),
    #[error("{0}")]
    Schema(String),
}

impl ConnectError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<MigrateError> for ConnectError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Connect(error) => error,
            MigrateError::Pending { .. } | MigrateError::Failed(_) => {
                Self::Schema(error.to_string())
            }
        }
    }
}

/// A bounded number of connections.
pub(super) struct Pool {
    pool: deadpool::Pool<AsyncPgConnection>,
    config: PostgresConfig,
}

impl Pool {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let client = client_config(config);
        let mut manager = ManagerConfig::default();
        manager.custom_setup = Box::new(move |_| {
            let client = client.clone();
            async move {
                connect(&client)
                    .await
                    .map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))
            }
            .boxed()
        });
        let manager =
            AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config("", manager);
        let pool = deadpool::Pool::builder(manager)
            .max_size(config.pool_size)
            .wait_timeout(Some(config.pool_timeout))
            .create_timeout(Some(config.pool_timeout))
            .recycle_timeout(Some(config.pool_timeout))
            .runtime(::deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| ConnectError::Unreachable(error.to_string()))?;
        Ok(Self {
            pool,
            config: config.clone(),
        })
    }

    /// One connection beside the pool, for a precise reason why not.
    pub(super) async fn check(&self) -> Result<(), ConnectError> {
        connect_once(&self.config).await.map(|_| ())
    }

    pub(super) async fn connection(&self) -> Result<Object<AsyncPgConnection>, LedgerError> {
        self.pool.get().await.map_err(|error| {
            LedgerError(match error {
                deadpool::PoolError::Timeout(_) => {
                    "no connection to PostgreSQL in time (see POSTGRES_POOL_SIZE)".to_owned()
                }
                deadpool::PoolError::Backend(ManagerError::ConnectionError(error)) => {
                    error.to_string()
                }
                error => error.to_string(),
            })
        })
    }

    /// Runs queries within the server's limit for a statement and a margin. After that the connection is given up: an
    /// answer that comes late must not be taken for the next one's.
    pub(super) async fn query<T, F>(&self, query: F) -> Result<T, LedgerError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut AsyncPgConnection) -> BoxFuture<'c, diesel::QueryResult<T>>
            + Send,
    {
        let mut connection = self.connection().await?;
        let limit = self.config.statement_timeout + ANSWER_MARGIN;
        if let Ok(answer) = tokio::time::timeout(limit, query(&mut connection)).await {
            answer.map_err(|error| LedgerError(error.to_string()))
        } else {
            drop(Object::take(connection));
            Err(LedgerError(format!(
                "no answer from PostgreSQL in {} s",
                limit.as_secs()
            )))
        }
    }
}

pub(super) async fn ping(connection: &mut AsyncPgConnection) -> diesel::QueryResult<()> {
    diesel::sql_query("SELECT 1")
        .execute(connection)
        .await
        .map(|_| ())
}

/// A connection of its own.
pub(super) async fn connect_once(
    config: &PostgresConfig,
) -> Result<AsyncPgConnection, ConnectError> {
    let connect = async { connect(&client_config(config)).await };
    match tokio::time::timeout(config.pool_timeout, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::Unreachable("no answer in time".to_owned())),
    }
}

/// How to connect. The values are set one by one, never through a URL: a password may have any character.
fn client_config(config: &PostgresConfig) -> tokio_postgres::Config {
    let mut client = tokio_postgres::Config::new();
    client
        .host(&config.host)
        .port(config.port)
        .user(&config.user)
        .password(config.password.reveal())
        .dbname(&config.database)
        .application_name("flashsale")
        .connect_timeout(config.pool_timeout)
        .keepalives(true)
        .keepalives_idle(DEAD_PEER)
        .tcp_user_timeout(DEAD_PEER)
        .options(format!(
            "-c statement_timeout={}",
            config.statement_timeout.as_millis()
        ));
    client
}

async fn connect(client: &tokio_postgres::Config) -> Result<AsyncPgConnection, ConnectError> {
    let (client, connection) = client
        .connect(NoTls)
        .await
        .map_err(|error| connect_error(&error))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(|error| ConnectError::Unreachable(error.to_string()))
}

fn connect_error(error: &tokio_postgres::Error) -> ConnectError {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = source.to_string();
    }
    match error.code() {
        Some(code)
            if *code == SqlState::INVALID_PASSWORD
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            ConnectError::CredentialsRefused(text)
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            ConnectError::DatabaseMissing(text)
        }
        _ => ConnectError::Unreachable(text),
    }
}
