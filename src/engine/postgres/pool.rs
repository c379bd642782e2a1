//! The pool of sessions. Each one belongs to the database that was opened at the start.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use deadpool::{
    Runtime, Status,
    managed::{BuildError, Manager, Metrics, Object, Pool, RecycleError, RecycleResult},
};
use diesel_async::AsyncPgConnection;

use super::{
    connect::{self, ConnectError},
    identity,
    session::{PROOF_TIMEOUT, Session, deadline},
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

/// Shows how many connections there are. Does not keep the pool.
#[allow(clippy::cast_precision_loss)] // some hundreds at most
fn show_use(pool: &Pool<Sessions>) {
    type Reading = fn(Status) -> usize;
    let of = |read: Reading| {
        let pool = pool.weak();
        move || Some(read(pool.upgrade()?.status()) as f64)
    };
    let states: [(&str, Reading); 2] = [
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
