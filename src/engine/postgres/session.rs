//! Connections with a deadline while they are in use. `connect` opens them, `pool` keeps them.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use diesel::{QueryResult, QueryableByName, sql_types::Bool};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager};
use tokio::{sync::watch, time::Instant};

use super::{
    Prepared,
    failure::{self, SessionFate},
    watch::LastCode,
};

/// The time at which a connection in use is closed, whatever it waits for. `None` while it is idle.
pub(super) type Deadline = watch::Sender<Option<Instant>>;

/// Maximum time for the check of a pooled connection. After that the pool takes another one.
pub(super) const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

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
    pub(super) conn: AsyncPgConnection,
    pub(super) deadline: Deadline,
    /// The SQLSTATE of the last error.
    pub(super) code: LastCode,
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
    pub(super) fn is_broken(&mut self) -> bool {
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
pub(super) fn deadline(statement_timeout: Duration) -> Option<Instant> {
    (!statement_timeout.is_zero()).then(|| Instant::now() + statement_timeout * 3)
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
