//! One connection to one server, from its login to its end. It never reconnects. It counts the commands in flight: fred reports
//! some errors to all of them, although the server's reply was to only one.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike, EventInterface, LuaInterface, PubsubInterface},
    prelude::{Error, ErrorKind, Options, Value},
    types::{ClusterHash, ConnectHandle, CustomCommand, Key, Message, scripts::Script},
};
use tokio::{sync::broadcast, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use super::{
    client::{self, Address, ConnectError, Login},
    failure::{self, Certainty, Failure, Remedy},
};
use crate::{config::RedisConfig, port::GateError, telemetry::metric};

/// A command that times out discards the connection if no reply came for this long, even though the server may be up.
const MAX_SILENCE: Duration = Duration::from_secs(3);

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) error: Error,
}

impl Failed {
    /// Converts to the port's error.
    pub(super) fn into_error(self) -> GateError {
        let cause = self.error.to_string();
        match self.failure.certainty {
            Certainty::Refused => GateError::Refused(cause),
            Certainty::RefusedOutsideScripts | Certainty::InDoubt => GateError::Unknown(cause),
        }
    }
}

/// A connection that is logged in. Its socket is closed when the last reference to it is dropped.
pub(super) struct Session {
    client: WithOptions<Client>,
    /// fred's connection task. No command is answered after it has ended.
    task: AbortHandle,
    pub(super) address: Address,
    /// Cancelled when no more commands may be sent on the connection.
    gone: CancellationToken,
    /// Number of commands that were started.
    begun: AtomicU64,
    /// Number of commands that are waiting for their reply.
    in_flight: AtomicUsize,
    /// True once a command stopped waiting before its reply came. The counts then no longer show which replies are outstanding.
    miscounted: AtomicBool,
    start: Instant,
    /// Milliseconds from `start` to the last reply.
    answered_ms: AtomicU64,
}

impl Session {
    /// A connection without loaded scripts or checks, for single commands.
    pub(super) async fn bare(
        config: &RedisConfig,
        address: &Address,
        login: Login<'_>,
    ) -> Result<Self, ConnectError> {
        let client = client::build(config, address, login).await?;
        match tokio::time::timeout(client::connect_timeout(config), Box::pin(client.init())).await {
            Ok(Ok(task)) => Ok(Self::of(config, address, &client, task)),
            Ok(Err(error)) => Err(ConnectError::at(address, &error)),
            Err(_) => Err(ConnectError::too_late(address)),
        }
    }

    pub(super) fn of(
        config: &RedisConfig,
        address: &Address,
        client: &Client,
        task: ConnectHandle,
    ) -> Self {
        let (gone, abort) = (CancellationToken::new(), task.abort_handle());
        let ended = gone.clone();
        // This task ends with fred's task, which `drop` aborts.
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

    /// Accepts no more commands. Those in flight can still be answered.
    pub(super) fn discard(&self) {
        self.gone.cancel();
    }

    /// Resolves when the session was discarded or fred's task has ended.
    pub(super) async fn discarded(&self) {
        self.gone.cancelled().await;
    }

    /// Runs a script by its hash. If the server does not have the script, sends its text, which the server then keeps. With
    /// `asking`, ASKING is sent directly before.
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
            // Redis adds the script's hash to an error that was raised inside the script.
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
            self.track(self.client.evalsha(text, keys, args)).await
        } else {
            self.track(self.client.eval(text, keys, args)).await
        }
    }

    /// Sends a command other than EVAL and EVALSHA.
    pub(super) async fn command(
        &self,
        name: &'static str,
        args: Vec<Value>,
        asking: bool,
    ) -> Result<Value, Failed> {
        if asking {
            return self.asking(name, args).await;
        }
        self.track(self.client.custom(custom(name), args)).await
    }

    /// What arrives on the channels that [`subscribe`](Self::subscribe) is called with.
    pub(super) fn messages(&self) -> broadcast::Receiver<Message> {
        self.client.message_rx()
    }

    /// Subscribes to channels. The connection can be used for PING alone afterwards.
    pub(super) async fn subscribe(
        &self,
        channels: Vec<String>,
        sharded: bool,
    ) -> Result<(), Failed> {
        if sharded {
            // One after the other: fred takes the first answer for that of the whole command.
            for channel in channels {
                self.track(self.client.ssubscribe(channel)).await?;
            }
            return Ok(());
        }
        self.track(self.client.subscribe(channels)).await?;
        // fred neither waits for the answers to SUBSCRIBE nor reports a refusal. PING is answered after them.
        if self.is_subscribed().await? {
            return Ok(());
        }
        let cause = "NOPERM the server refused 'subscribe', or the channels (&flashsale:*)";
        let error = Error::new(ErrorKind::InvalidCommand, cause);
        let failure = failure::classify(&error);
        Err(Failed { failure, error })
    }

    /// Whether the connection is subscribed to anything: PING is then answered by a list.
    pub(super) async fn is_subscribed(&self) -> Result<bool, Failed> {
        let answer = self.command("PING", Vec::new(), false).await?;
        Ok(answer.is_array())
    }

    /// Sends ASKING and, directly after it on this connection, the command.
    async fn asking(&self, name: &'static str, args: Vec<Value>) -> Result<Value, Failed> {
        self.track(async {
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

    /// Waits for the reply to a command, and classifies its error. Discards the session if the error calls for it. The command is in a
    /// box because fred's futures have 7 KB, which every future around them would have, too, and which is copied with each of them.
    fn track<'a, T: 'a>(
        &'a self,
        command: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Failed>> + Send + 'a {
        let command = Box::pin(command);
        async move {
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
            let mut failure = failure::classify(&error);
            match failure::code(&error) {
                Some("CLUSTERDOWN") if !was_alone => failure.certainty = Certainty::InDoubt,
                Some(_) => self.answered(),
                None => {}
            }
            if *error.kind() == ErrorKind::Timeout {
                self.miscounted.store(true, Ordering::Relaxed);
                if self.silence() > MAX_SILENCE {
                    metrics::counter!(metric::REDIS_DISCARDED, "cause" => "silence").increment(1);
                    failure.remedy = Remedy::Discard;
                }
            }
            if failure.remedy == Remedy::Discard && self.is_usable() {
                tracing::warn!(address = %self.address, %error, "the connection to Redis is given up");
                self.discard();
            }
            Err(Failed { failure, error })
        }
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

    /// Discards the session and sends QUIT, waiting at most `timeout`.
    pub(super) async fn close(&self, timeout: Duration) {
        self.discard();
        // A server that does not answer must not delay the shutdown.
        let _ = tokio::time::timeout(timeout, self.client.quit()).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One command in flight.
struct Flight<'a> {
    session: &'a Session,
    number: u64,
    started_alone: bool,
    ended: bool,
}

impl<'a> Flight<'a> {
    fn begin(session: &'a Session) -> Self {
        Self {
            session,
            number: session.begun.fetch_add(1, Ordering::SeqCst),
            started_alone: session.in_flight.fetch_add(1, Ordering::SeqCst) == 0,
            ended: false,
        }
    }

    /// Ends the flight. True if no other command was in flight at any time during it.
    fn end(mut self) -> bool {
        self.ended = true;
        self.started_alone
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
#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the futures that a function returns, which is not called.
    fn size<T, F: Future>(_: fn(T) -> F) -> usize {
        size_of::<F>()
    }

    type Command = (
        &'static Session,
        &'static Script,
        &'static [Key],
        &'static [Value],
    );

    #[test]
    fn the_future_of_a_command_is_small() {
        let size =
            size(|(session, script, keys, args): Command| session.run(script, keys, args, false));
        assert!(size < 1_024, "{size} bytes");
    }
}
