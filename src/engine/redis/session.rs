//! One connection to one server, from its login to its end; it never reconnects. Counts what is in flight, so that an
//! error that fred reports to every command in flight is not mistaken for the answer to each.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike, LuaInterface},
    prelude::{Error, ErrorKind, Options, Value},
    types::{ClusterHash, ConnectHandle, CustomCommand, Key, scripts::Script},
};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::{
    client::{self, Address, ConnectError, Login},
    failure::{self, Certainty, Failure, Remedy},
    rights,
    scripts::SCRIPTS,
};
use crate::{config::RedisConfig, port::GateError};

/// Without any answer for so long, a connection is given up although the server may be there.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) error: Error,
}

impl Failed {
    /// The error of the port.
    pub(super) fn into_error(self) -> GateError {
        let cause = self.error.to_string();
        match self.failure.certainty {
            Certainty::Refused => GateError::Refused(cause),
            Certainty::RefusedOutsideScripts | Certainty::InDoubt => GateError::Unknown(cause),
        }
    }
}

/// A connection that is logged in and has all scripts. Its socket is closed when the last user of it is gone.
pub(super) struct Session {
    client: WithOptions<Client>,
    /// fred's task, without which nothing is answered.
    task: AbortHandle,
    pub(super) address: Address,
    /// Cancelled when the connection is not to be used any more.
    gone: CancellationToken,
    begun: AtomicU64,
    in_flight: AtomicUsize,
    /// A caller went away before the answer came, so counts do not tell any more whose answer comes next.
    miscounted: AtomicBool,
    start: Instant,
    /// Milliseconds from `start` to the last answer.
    answered_ms: AtomicU64,
}

impl Session {
    /// Connects, loads all scripts, and proves that the user may do what the gate does and that the server writes.
    pub(super) async fn open(
        config: &RedisConfig,
        address: &Address,
        probe_key: &str,
    ) -> Result<Self, ConnectError> {
        let client = client::build(config, address, Login::of(config))?;
        let opening = async {
            let task = client
                .init()
                .await
                .map_err(|error| ConnectError::at(address, &error))?;
            let session = Self::of(config, address, &client, task);
            for script in SCRIPTS.all() {
                match script.load(&client).await {
                    Ok(()) => {}
                    // `EVAL` brings the text wherever it is missing; a replica or a full server is told apart below.
                    Err(error) if failure::code(&error) == Some("NOPERM") => break,
                    Err(error) => return Err(ConnectError::at(address, &error)),
                }
            }
            rights::check(config, &session, probe_key).await?;
            Ok(session)
        };
        match tokio::time::timeout(client::patience(config), Box::pin(opening)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::too_late(address)),
        }
    }

    /// A connection for a single question, without scripts.
    pub(super) async fn bare(
        config: &RedisConfig,
        address: &Address,
        login: Login<'_>,
    ) -> Result<Self, ConnectError> {
        let client = client::build(config, address, login)?;
        match tokio::time::timeout(client::patience(config), Box::pin(client.init())).await {
            Ok(Ok(task)) => Ok(Self::of(config, address, &client, task)),
            Ok(Err(error)) => Err(ConnectError::at(address, &error)),
            Err(_) => Err(ConnectError::too_late(address)),
        }
    }

    fn of(config: &RedisConfig, address: &Address, client: &Client, task: ConnectHandle) -> Self {
        let (gone, abort) = (CancellationToken::new(), task.abort_handle());
        let ended = gone.clone();
        // Ends with fred's task, which `drop` ends.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            let _ = task.await;
            ended.cancel();
        });
        let options = Options {
            fail_fast: true,
            timeout: Some(config.command_timeout),
            ..Options::default()
        };
        Self {
            client: client.with_options(&options),
            task: abort,
            address: address.clone(),
            gone,
            begun: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            miscounted: AtomicBool::new(false),
            start: Instant::now(),
            answered_ms: AtomicU64::new(0),
        }
    }

    /// True while commands can be sent.
    pub(super) fn is_usable(&self) -> bool {
        !self.gone.is_cancelled() && !self.task.is_finished()
    }

    /// Takes no more commands. Those in flight are still answered.
    pub(super) fn discard(&self) {
        self.gone.cancel();
    }

    /// Resolves when the session was discarded.
    pub(super) async fn discarded(&self) {
        self.gone.cancelled().await;
    }

    /// Runs a script by its hash; a server that does not have it gets its text, which it then keeps.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[Key],
        args: &[Value],
        asking: bool,
    ) -> Result<Value, Failed> {
        let first = self.eval(script, true, keys, args, asking).await;
        let result = match first {
            Err(failed) if failed.failure.remedy == Remedy::SendScript => {
                self.eval(script, false, keys, args, asking).await
            }
            result => result,
        };
        result.map_err(|mut failed| {
            // Redis names the script in an error that was raised inside it.
            if failed.failure.certainty == Certainty::RefusedOutsideScripts {
                let hash: &str = script.sha1();
                failed.failure.certainty = if failed.error.details().contains(hash) {
                    Certainty::InDoubt
                } else {
                    Certainty::Refused
                };
            }
            failed
        })
    }

    /// Runs a script by its text.
    pub(super) async fn send_text(&self, script: &Script, keys: &[Key]) -> Result<Value, Failed> {
        self.eval(script, false, keys, &[], false).await
    }

    async fn eval(
        &self,
        script: &Script,
        by_hash: bool,
        keys: &[Key],
        args: &[Value],
        asking: bool,
    ) -> Result<Value, Failed> {
        let text = if by_hash {
            script.sha1()
        } else {
            script.lua().unwrap_or(script.sha1())
        };
        if asking {
            let mut all = vec![Value::from(text.clone()), super::keys::count(keys.len())];
            all.extend(keys.iter().map(|key| Value::from(key.as_bytes())));
            all.extend_from_slice(args);
            let name = if by_hash { "EVALSHA" } else { "EVAL" };
            return self.asking(name, all).await;
        }
        let (text, keys, args) = (text.clone(), keys.to_vec(), args.to_vec());
        if by_hash {
            self.ask(self.client.evalsha(text, keys, args)).await
        } else {
            self.ask(self.client.eval(text, keys, args)).await
        }
    }

    /// Any command, for what is no script.
    pub(super) async fn command(
        &self,
        name: &'static str,
        args: Vec<Value>,
        asking: bool,
    ) -> Result<Value, Failed> {
        if asking {
            return self.asking(name, args).await;
        }
        self.ask(self.client.custom(custom(name), args)).await
    }

    /// ASKING and the command, one directly after the other on this connection.
    async fn asking(&self, name: &'static str, args: Vec<Value>) -> Result<Value, Failed> {
        self.ask(async {
            let pipeline = self.client.pipeline();
            let _: Value = pipeline
                .custom(custom("ASKING"), Vec::<Value>::new())
                .await?;
            let _: Value = pipeline.custom(custom(name), args).await?;
            let mut answers = pipeline.try_all::<Value>().await;
            answers
                .pop()
                .unwrap_or_else(|| Err(Error::new(ErrorKind::Protocol, "no answer")))
        })
        .await
    }

    async fn ask<T>(&self, command: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        let flight = Flight::begin(self);
        let result = command.await;
        let was_alone = flight.end();
        let error = match result {
            Ok(answer) => {
                self.answered();
                return Ok(answer);
            }
            Err(error) => error,
        };
        let mut failure = failure::of(&error);
        match failure::code(&error) {
            Some("CLUSTERDOWN") if !was_alone => failure.certainty = Certainty::InDoubt,
            Some(_) => self.answered(),
            None => {}
        }
        if *error.kind() == ErrorKind::Timeout {
            self.miscounted.store(true, Ordering::Relaxed);
            if self.silence() > LONGEST_SILENCE {
                metrics::counter!("redis_connections_discarded_total", "cause" => "silence")
                    .increment(1);
                failure.remedy = Remedy::Discard;
            }
        }
        if failure.remedy == Remedy::Discard && self.is_usable() {
            tracing::warn!(address = %self.address, %error, "the connection to Redis is given up");
            self.discard();
        }
        Err(Failed { failure, error })
    }

    fn since_start(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn answered(&self) {
        self.answered_ms
            .store(self.since_start(), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let last = self.answered_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.since_start().saturating_sub(last))
    }

    /// Says goodbye to the server.
    pub(super) async fn close(&self, patience: Duration) {
        self.discard();
        // A server that does not answer must not hold a shutdown up.
        let _ = tokio::time::timeout(patience, self.client.quit()).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One command on its way.
struct Flight<'a> {
    session: &'a Session,
    number: u64,
    was_first: bool,
    ended: bool,
}

impl<'a> Flight<'a> {
    fn begin(session: &'a Session) -> Self {
        Self {
            session,
            number: session.begun.fetch_add(1, Ordering::SeqCst),
            was_first: session.in_flight.fetch_add(1, Ordering::SeqCst) == 0,
            ended: false,
        }
    }

    /// True if no other command was in flight meanwhile.
    fn end(mut self) -> bool {
        self.ended = true;
        self.was_first
            && !self.session.miscounted.load(Ordering::SeqCst)
            && self.session.begun.load(Ordering::SeqCst) == self.number + 1
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.session.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            self.session.miscounted.store(true, Ordering::SeqCst);
        }
    }
}

fn custom(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}
