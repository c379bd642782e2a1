//! The way to one server, kept open: a task connects, watches, and connects again with pauses, for as long as the link is
//! wanted. Between two connections commands are refused at once.

use std::{sync::Arc, time::Duration};

use fred::types::Key;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    client::{Address, ConnectError},
    scripts::SCRIPTS,
    sentinel,
    session::{Failed, Session},
};
use crate::{config::RedisConfig, port::GateError};

/// Between two attempts to connect: the first and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How often the server has to prove that it takes writes. A primary that was demoted still answers reads, from data that
/// nobody updates.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What is connected at the moment.
#[derive(Clone)]
enum State {
    Up(Arc<Session>),
    Down(String),
}

/// A way to one server.
pub(super) struct Link {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
    config: Arc<RedisConfig>,
    probe_key: String,
    /// When it was made.
    pub(super) since: Instant,
}

impl Link {
    /// A link whose first connection is made already.
    pub(super) async fn open(
        config: Arc<RedisConfig>,
        endpoint: Endpoint,
        probe_key: String,
    ) -> Result<Self, ConnectError> {
        let session = endpoint.connect(&config, &probe_key).await?;
        Ok(Self::keep(
            config,
            endpoint,
            probe_key,
            State::Up(Arc::new(session)),
        ))
    }

    /// A link that begins to connect.
    pub(super) fn begin(config: Arc<RedisConfig>, endpoint: Endpoint, probe_key: String) -> Self {
        let state = State::Down("connecting".to_owned());
        Self::keep(config, endpoint, probe_key, state)
    }

    fn keep(config: Arc<RedisConfig>, endpoint: Endpoint, probe_key: String, state: State) -> Self {
        let (sender, receiver) = watch::channel(state);
        let keeper = Keeper {
            config: Arc::clone(&config),
            endpoint,
            probe_key: probe_key.clone(),
            state: sender,
        };
        // Ends with the link, which the process's own tasks own.
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

    /// The connection, waited for until the deadline.
    pub(super) async fn session_by(&self, deadline: Instant) -> Result<Arc<Session>, GateError> {
        let mut state = self.state.clone();
        let up = state.wait_for(|state| matches!(state, State::Up(session) if session.is_usable()));
        let _ = tokio::time::timeout_at(deadline, up).await;
        self.session()
    }

    /// Proves that the server takes writes now.
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
    /// Always here; the name is looked up anew for each connection.
    At(Address),
    /// Wherever the Sentinels say.
    Sentinels,
}

impl Endpoint {
    async fn connect(
        &self,
        config: &RedisConfig,
        probe_key: &str,
    ) -> Result<Session, ConnectError> {
        match self {
            Self::At(address) => Session::open(config, address, probe_key).await,
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
                metrics::counter!("redis_reconnects_total").increment(1);
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

    /// Returns when the connection is not to be used any more.
    async fn watch(&self, session: &Session) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while session.is_usable() {
            tokio::select! {
                () = session.discarded() => return,
                _ = beat.tick() => {
                    // What the answer means for the connection is the session's to know.
                    let _ = probe(session, &self.probe_key).await;
                }
            }
        }
    }
}
