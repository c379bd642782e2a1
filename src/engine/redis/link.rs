//! A link to one server: its task connects, monitors the connection, and reconnects after a pause, until the link is dropped.
//! While there is no connection, commands are refused immediately.

use std::{sync::Arc, time::Duration};

use fred::types::Key;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    client::{Address, ConnectError},
    opening::open_session,
    scripts::SCRIPTS,
    sentinel,
    session::{Failed, Session},
};
use crate::{config::RedisConfig, port::GateError, telemetry::metric};

/// The shortest and the longest pause between two tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Interval of the probes that prove that the server accepts writes. A demoted primary may still answer reads, from outdated
/// data.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The current connection, or why there is none.
#[derive(Clone)]
enum State {
    Up(Arc<Session>),
    Down(String),
}

/// A connection to one server that is kept open by a task.
pub(super) struct Link {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
    config: Arc<RedisConfig>,
    probe_key: String,
    /// When the link was created.
    pub(super) since: Instant,
}

impl Link {
    /// Creates a link, and waits for its first connection.
    pub(super) async fn open(
        config: Arc<RedisConfig>,
        endpoint: Endpoint,
        probe_key: String,
    ) -> Result<Self, ConnectError> {
        let session = endpoint.connect(&config, &probe_key).await?;
        Ok(Self::start(
            config,
            endpoint,
            probe_key,
            State::Up(Arc::new(session)),
        ))
    }

    /// Creates a link that connects in the background.
    pub(super) fn begin(config: Arc<RedisConfig>, endpoint: Endpoint, probe_key: String) -> Self {
        let state = State::Down("connecting".to_owned());
        Self::start(config, endpoint, probe_key, state)
    }

    fn start(
        config: Arc<RedisConfig>,
        endpoint: Endpoint,
        probe_key: String,
        state: State,
    ) -> Self {
        let (sender, receiver) = watch::channel(state);
        let keeper = Keeper {
            config: Arc::clone(&config),
            endpoint,
            probe_key: probe_key.clone(),
            state: sender,
        };
        // The link owns this task, not the process's task tracker: the task ends when the link is dropped.
        #[allow(clippy::disallowed_methods)]
        let task = tokio::spawn(keeper.run());
        Self {
            state: receiver,
            task,
            config,
            probe_key,
            since: Instant::now(),
        }
    }

    /// The connection, if there is one.
    pub(super) fn session(&self) -> Result<Arc<Session>, GateError> {
        match &*self.state.borrow() {
            State::Up(session) if session.is_usable() => Ok(Arc::clone(session)),
            State::Up(session) => Err(GateError::Refused(format!(
                "Redis at {} is disconnected",
                session.address
            ))),
            State::Down(cause) => Err(GateError::Refused(cause.clone())),
        }
    }

    /// The connection, which is waited for until the deadline.
    pub(super) async fn session_by(&self, deadline: Instant) -> Result<Arc<Session>, GateError> {
        let mut state = self.state.clone();
        let up = state.wait_for(|state| matches!(state, State::Up(session) if session.is_usable()));
        let _ = tokio::time::timeout_at(deadline, up).await;
        self.session()
    }

    /// Proves that the server accepts writes now.
    pub(super) async fn probe(&self) -> Result<(), GateError> {
        probe(&*self.session()?, &self.probe_key).await
    }

    pub(super) async fn close(&self) {
        self.task.abort();
        let state = self.state.borrow().clone();
        if let State::Up(session) = state {
            session.close(self.config.command_timeout).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn probe(session: &Session, key: &str) -> Result<(), GateError> {
    let keys: [Key; 1] = [key.into()];
    session
        .run(&SCRIPTS.probe_write, &keys, &[], false)
        .await
        .map(drop)
        .map_err(Failed::into_error)
}

/// Where to connect to.
#[derive(Clone)]
pub(super) enum Endpoint {
    /// This address. The name is resolved for each connection.
    At(Address),
    /// The primary that the Sentinels name when a connection is opened.
    Sentinels,
}

impl Endpoint {
    async fn connect(
        &self,
        config: &RedisConfig,
        probe_key: &str,
    ) -> Result<Session, ConnectError> {
        match self {
            Self::At(address) => open_session(config, address, probe_key).await,
            Self::Sentinels => sentinel::connect(config, probe_key).await,
        }
    }
}

/// The task behind a link.
struct Keeper {
    config: Arc<RedisConfig>,
    endpoint: Endpoint,
    probe_key: String,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn run(self) {
        let mut pause = PAUSES.0;
        loop {
            let state = self.state.borrow().clone();
            if let State::Up(session) = state {
                self.watch(&session).await;
                let cause = format!("Redis at {} is disconnected", session.address);
                self.state.send_replace(State::Down(cause));
                metrics::counter!(metric::REDIS_RECONNECTS).increment(1);
                pause = PAUSES.0;
            }
            tokio::time::sleep(pause).await;
            match self.endpoint.connect(&self.config, &self.probe_key).await {
                Ok(session) => {
                    tracing::info!(address = %session.address, "connected to Redis");
                    self.state.send_replace(State::Up(Arc::new(session)));
                }
                Err(error) => {
                    tracing::debug!(%error, "Redis cannot be connected to");
                    self.state.send_replace(State::Down(error.to_string()));
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Probes the connection every [`HEARTBEAT`]. Returns when it must not be used any more.
    async fn watch(&self, session: &Session) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while session.is_usable() {
            tokio::select! {
                () = session.discarded() => return,
                _ = beat.tick() => {
                    // The result is not needed here: on a failed probe the session discards itself where necessary.
                    let _ = probe(session, &self.probe_key).await;
                }
            }
        }
    }
}
