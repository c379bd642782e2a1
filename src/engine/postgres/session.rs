//! Pooled connections, each with a deadline while it is in use. `connect` opens them.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use deadpool::{
    Runtime, Status,
    managed::{BuildError, Manager, Metrics, Object, Pool, RecycleError, RecycleResult},
};
use diesel::{QueryResult, QueryableByName, sql_types::Bool};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager};
use tokio::{sync::watch, time::Instant};

use super::{
    Prepared,
    connect::{self, ConnectError},
    failure::{self, SessionFate},
    identity,
    watch::LastCode,
};
use crate::{
    config::{Pooler, PostgresConfig},
    ids::LedgerId,
    port::LedgerError,
    telemetry::{self, LogThrottle, metric},
};

// Every call that takes a connection detects it again.
static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// The time at which a connection in use is closed, whatever it waits for. `None` while it is idle.
pub(super) type Deadline = watch::Sender<Option<Instant>>;

/// Maximum time for the check of a pooled connection. After that the pool takes another one.
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

const TAKES_WRITES: &str = "
    SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean AS takes_writes";

#[derive(QueryableByName)]
struct WritesRow {
    #[diesel(sql_type = Bool)]
    takes_writes: bool,
}

/// A connection and the deadline of the task that drives it.
///
/// A transaction is never cancelled by dropping its future: it would be undefined when the transaction ends. Instead, the
/// socket is closed when the deadline passes. The call then fails by itself, and the server rolls back when it finds the socket
/// closed.
pub(super) struct Session {
    conn: AsyncPgConnection,
    deadline: Deadline,
    /// The SQLSTATE of the last error.
    code: LastCode,
}

impl Session {
    pub(super) fn new(conn: AsyncPgConnection, deadline: Deadline, code: LastCode) -> Self {
        Self {
            conn,
            deadline,
            code,
        }
    }

    /// False if the server is a standby, or takes no writes by its settings. Takes one round trip.
    pub(super) async fn takes_writes(&mut self) -> QueryResult<bool> {
        let row: WritesRow = Prepared::new(TAKES_WRITES)
            .get_result(&mut self.conn)
            .await?;
        Ok(row.takes_writes)
    }

    /// Starts the task that moves a connection's bytes. It ends when the connection ends, when the session is dropped, or when
    /// the deadline passes.
    #[allow(clippy::disallowed_methods)] // ends with its session, so shutdown need not wait for it
    pub(super) fn drive(
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
        statement_timeout: Duration,
    ) -> Deadline {
        let (deadline, watched) = watch::channel(deadline(statement_timeout));
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection to PostgreSQL broke");
                    }
                }
                expired = has_expired(watched) => {
                    if expired {
                        tracing::warn!("PostgreSQL gave no answer in time; the connection is closed");
                    } else {
                        // The session was dropped: the connection gets a short time to end properly.
                        tokio::time::timeout(PROOF_TIMEOUT, connection).await.ok();
                    }
                }
            }
        });
        deadline
    }

    /// The SQLSTATE of the last error. The returned value follows later errors.
    pub(super) fn code(&self) -> LastCode {
        self.code.clone()
    }

    /// The connection and its deadline. The connection is closed when the deadline is dropped.
    pub(super) fn into_parts(self) -> (AsyncPgConnection, Deadline) {
        (self.conn, self.deadline)
    }

    /// True if the connection cannot be used again.
    fn is_broken(&mut self) -> bool {
        self.deadline.is_closed()
            || self.code.get().is_some_and(|code| failure::effect(code).session == SessionFate::Discard)
            || <AsyncPgConnection as AsyncConnection>::TransactionManager::is_broken_transaction_manager(&mut self.conn)
    }
}

impl Deref for Session {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }
}

/// The deadline of a use that starts now: the time of three statements that take as long as `statement_timeout` allows. `None` if
/// statements have no limit.
fn deadline(statement_timeout: Duration) -> Option<Instant> {
    (!statement_timeout.is_zero()).then(|| Instant::now() + statement_timeout * 3)
}

/// Shows how many connections there are. Does not keep the pool.
#[allow(clippy::cast_precision_loss)] // some hundreds at most
fn show_use(pool: &Pool<Sessions>) {
    let of = |read: fn(Status) -> usize| {
        let pool = pool.weak();
        move || Some(read(pool.upgrade()?.status()) as f64)
    };
    let states: [(_, fn(Status) -> usize); 2] = [
        ("idle", |status| status.available),
        ("in_use", |status| {
            status.size.saturating_sub(status.available)
        }),
    ];
    for (state, read) in states {
        telemetry::sample(metric::POSTGRES_POOL, &[("state", state)], of(read));
    }
    telemetry::sample(
        metric::POSTGRES_POOL_LIMIT,
        &[],
        of(|status| status.max_size),
    );
    telemetry::sample(
        metric::POSTGRES_POOL_WAITING,
        &[],
        of(|status| status.waiting),
    );
}

/// Waits until the deadline has passed (true) or the session is dropped (false).
async fn has_expired(mut deadline: watch::Receiver<Option<Instant>>) -> bool {
    loop {
        let until = *deadline.borrow_and_update();
        let moved = match until {
            None => deadline.changed().await,
            Some(until) => tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                moved = deadline.changed() => moved,
            },
        };
        if moved.is_err() {
            return false;
        }
    }
}

/// Opens and checks the pool's connections.
pub(super) struct Sessions {
    config: PostgresConfig,
    /// The ledger id of the database that was opened at the start.
    ledger: LedgerId,
}

impl Sessions {
    /// Fails if the database is not the one that was opened at the start.
    async fn check_identity(&self, session: &mut Session) -> Result<(), ConnectError> {
        let found = identity::read(session)
            .await
            .map_err(|error| ConnectError::Unreachable {
                server: self.config.server(),
                cause: error.to_string(),
            })?;
        if found == self.ledger {
            return Ok(());
        }
        let expected = self.ledger;
        if LOG_THROTTLE.allow() {
            tracing::error!(%expected, %found, "the database is not the one that was opened: nothing is read or written");
        }
        Err(ConnectError::AnotherLedger { expected, found })
    }
}

impl Manager for Sessions {
    type Type = Session;
    type Error = ConnectError;

    async fn create(&self) -> Result<Session, ConnectError> {
        let config = &self.config;
        let mut session = connect::open(config, &config.database, config.statement_timeout).await?;
        self.check_identity(&mut session).await?;
        Ok(session)
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<ConnectError> {
        if session.is_broken() {
            return Err(RecycleError::message("closed"));
        }
        // Behind a pooler in transaction mode the connection may lead to another server by now.
        if self.config.pooler == Pooler::Transaction {
            self.check_identity(session)
                .await
                .map_err(RecycleError::Backend)?;
        }
        match session.takes_writes().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(RecycleError::message("the server takes no writes")),
            Err(error) => Err(RecycleError::message(error.to_string())),
        }
    }
}

/// The pool of connections.
#[derive(Clone)]
pub(super) struct SessionPool {
    pool: Pool<Sessions>,
    statement_timeout: Duration,
    /// The settings that each transaction applies, behind a pooler where settings of a session are not possible.
    settings: Option<Arc<str>>,
}

impl SessionPool {
    pub(super) fn new(config: &PostgresConfig, ledger: LedgerId) -> Result<Self, BuildError> {
        let sessions = Sessions {
            config: config.clone(),
            ledger,
        };
        let pool = Pool::builder(sessions)
            .max_size(config.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(config.pool_timeout))
            .create_timeout(Some(config.pool_timeout))
            .recycle_timeout(Some(PROOF_TIMEOUT.min(config.pool_timeout)))
            .build()?;
        show_use(&pool);
        Ok(Self {
            pool,
            statement_timeout: config.statement_timeout,
            settings: (config.pooler == Pooler::Transaction)
                .then(|| connect::transaction_settings(config.statement_timeout).into()),
        })
    }

    /// The settings that each transaction has to apply; `None` if the sessions have them.
    pub(super) fn transaction_settings(&self) -> Option<&str> {
        self.settings.as_deref()
    }

    /// Takes a working connection for one call, and starts its deadline.
    pub(super) async fn take(&self) -> Result<InUse, LedgerError> {
        let session = self
            .pool
            .get()
            .await
            .map_err(|error| LedgerError(error.to_string()))?;
        session.code.clear();
        session
            .deadline
            .send_replace(deadline(self.statement_timeout));
        Ok(InUse(session))
    }
}

/// A connection in use. It returns to the pool when dropped.
pub(super) struct InUse(Object<Sessions>);

impl InUse {
    /// The SQLSTATE of the last error since the connection was taken.
    pub(super) fn code(&self) -> LastCode {
        self.0.code.clone()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.deadline.send_replace(None);
    }
}

impl Deref for InUse {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.0.conn
    }
}

impl DerefMut for InUse {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.0.conn
    }
}
