//! The connection to the server: how it is made, kept and bounded, and the one way to run a script.
//!
//! fred's defaults wait for ever; every limit is set here. Nothing here knows what the scripts do.

use std::time::Duration;

use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike, LuaInterface},
    prelude::{Builder, Error, ErrorKind, Options, Value},
    types::{
        ClientState, Key,
        config::{Config, ReconnectPolicy, ServerConfig, UnresponsiveConfig},
        scripts::Script,
    },
};

use super::scripts::SCRIPTS;
use crate::{
    config::{RedisConfig, Secret},
    port::GateError,
};

/// Between two attempts to reconnect: the first and the longest pause, in milliseconds.
const RECONNECT_PAUSE_MS: (u32, u32) = (50, 1_000);

/// How often a command is sent at most. fred could send it again after a broken connection, and scripts are idempotent;
/// but its caller would wait meanwhile, and has to handle an unknown outcome anyway.
const MAX_SENDS: u32 = 1;

/// Why no connection could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The server answers and refuses the user or the password. Trying again will not help.
    #[error("Redis refuses the credentials ({0}); see REDIS_USERNAME and REDIS_PASSWORD")]
    CredentialsRefused(String),
    /// The server does not answer, or is not ready.
    #[error("Redis cannot be reached ({0}); see REDIS_HOST, REDIS_PORT and REDIS_CLUSTER_MODE")]
    Unreachable(String),
}

impl ConnectError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        let details = error.details();
        // fred does not know all the ways in which Redis says it.
        let refused = *error.kind() == ErrorKind::Auth
            || ["ERR invalid password", "NOPERM"]
                .iter()
                .any(|start| details.starts_with(start));
        if refused {
            Self::CredentialsRefused(details.to_owned())
        } else {
            Self::Unreachable(error.to_string())
        }
    }
}

/// A connection that reconnects by itself for ever.
pub(super) struct Connection {
    client: WithOptions<Client>,
    /// On a cluster, keys of different sales cannot meet in one script.
    pub(super) clustered: bool,
    /// Whose sales these are, as the scripts take it.
    pub(super) ledger: Value,
    command_timeout: Duration,
}

impl Connection {
    /// Connects and loads all scripts.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, ConnectError> {
        let timeout = config.command_timeout;
        let client = build(config)?;
        let connected = async {
            client.init().await?;
            for script in SCRIPTS.all() {
                script.load(&client).await?;
            }
            Ok::<(), Error>(())
        };
        // Looking up the name, connecting and logging in, and the scripts: each of them is bounded, and so is the sum.
        let result = match tokio::time::timeout(timeout * 4, connected).await {
            Ok(result) => result.map_err(ConnectError::from),
            Err(_) => Err(ConnectError::Unreachable("no answer in time".to_owned())),
        };
        if let Err(error) = result {
            // Without this, fred would go on in the background.
            let _ = tokio::time::timeout(timeout, client.quit()).await;
            return Err(error);
        }
        // A command that meets a closed connection, or whose connection breaks, fails at once: waiting would only pile
        // work up.
        let options = Options {
            fail_fast: true,
            timeout: Some(timeout),
            ..Options::default()
        };
        Ok(Self {
            client: client.with_options(&options),
            clustered: config.cluster_mode,
            ledger: Value::from(String::new()),
            command_timeout: timeout,
        })
    }

    /// Runs a script by its hash. A server that does not have it (restarted, failed over, or its scripts were flushed)
    /// gets its text, which it then keeps; on a cluster the node that has the keys gets it.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, GateError> {
        self.must_be_connected()?;
        let first = self
            .client
            .evalsha(script.sha1().clone(), keys.clone(), args.clone())
            .await;
        let result = match (first, script.lua()) {
            (Err(error), Some(lua)) if error.details().starts_with("NOSCRIPT") => {
                self.client.eval(lua.clone(), keys, args).await
            }
            (result, _) => result,
        };
        result.map_err(gate_error)
    }

    /// Reads one text key, wherever it is.
    pub(super) async fn get(&self, key: Key) -> Result<Value, GateError> {
        use fred::interfaces::KeysInterface;
        self.must_be_connected()?;
        self.client.get(key).await.map_err(gate_error)
    }

    /// While it reconnects, fred would keep a command waiting for as long as the timeout lets it, and then its outcome
    /// would be in doubt for no reason.
    fn must_be_connected(&self) -> Result<(), GateError> {
        match self.client.state() {
            ClientState::Connected => Ok(()),
            ClientState::Disconnected | ClientState::Disconnecting | ClientState::Connecting => {
                Err(GateError::NotAsked("Redis is disconnected".to_owned()))
            }
        }
    }

    pub(super) async fn ping(&self) -> Result<(), GateError> {
        self.must_be_connected()?;
        self.client
            .ping::<Value>(None)
            .await
            .map(drop)
            .map_err(gate_error)
    }

    pub(super) async fn close(&self) {
        // A server that does not answer must not hold a shutdown up.
        let _ = tokio::time::timeout(self.command_timeout, self.client.quit()).await;
    }
}

pub(super) fn build(config: &RedisConfig) -> Result<Client, ConnectError> {
    let timeout = config.command_timeout;
    let server = if config.cluster_mode {
        ServerConfig::new_clustered(vec![(config.host.clone(), config.port)])
    } else {
        ServerConfig::new_centralized(config.host.clone(), config.port)
    };
    let (pause, longest_pause) = RECONNECT_PAUSE_MS;
    let client = Builder::from_config(Config {
        server,
        username: config.username.clone(),
        password: config
            .password
            .as_ref()
            .map(|password: &Secret| password.reveal().to_owned()),
        fail_fast: true, // of the first connection only
        ..Config::default()
    })
    .set_policy(ReconnectPolicy::new_exponential(0, pause, longest_pause, 2))
    .with_performance_config(|performance| performance.default_command_timeout = timeout)
    .with_connection_config(|connection| {
        connection.connection_timeout = timeout;
        connection.internal_command_timeout = timeout;
        connection.max_command_attempts = MAX_SENDS;
        // Users can be changed under a running server: log in again rather than fail for ever.
        connection.reconnect_on_auth_error = true;
        connection.tcp.nodelay = Some(true);
        // A silent connection is found out in two ways: by fred when nothing new is written, by the kernel when
        // something is (fred starts its count anew with every write).
        connection.unresponsive = UnresponsiveConfig {
            max_timeout: Some(timeout * 2),
            interval: timeout / 2,
        };
        connection.tcp.user_timeout = Some(timeout * 2);
    })
    .build()?;
    Ok(client)
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn gate_error(error: Error) -> GateError {
    GateError::Unknown(error.to_string())
}
