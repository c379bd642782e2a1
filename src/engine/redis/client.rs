//! A client of one address, with its limits, login and TLS. fred by default waits without a limit, so every limit is set here.
//!
//! fred is used only in its centralized mode and without its own reconnection, which `link` replaces. The cluster mode of fred
//! 10.1 cannot follow ASK: it asks the old node again, mistakes replies to other commands for the reply to ASKING, and ends its
//! connection task when the tries of a command are used up. From then on every command times out.

use std::{fmt, time::Duration};

use fred::{
    clients::Client,
    prelude::{Builder, Error, ErrorKind},
    types::config::{Config, ServerConfig, TlsConfig, TlsConnector, UnresponsiveConfig},
};

use super::{
    acl_rule::rule,
    failure::{self, Lasting},
};
use crate::{
    config::{RedisConfig, Secret, with_port},
    engine::tls,
};

/// Maximum number of times that fred sends a command. A command whose connection broke is not sent again: its caller has to
/// handle an unknown outcome in any case, and would only wait longer.
const MAX_SENDS: u32 = 1;

/// Maximum number of announcements that wait for their reader. More end the subscription, and results are read.
const MAX_MESSAGES: usize = 4096;

/// The host and port of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    pub(super) fn of(config: &RedisConfig) -> Self {
        Self::new(config.host.clone(), config.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_port(&self.host, self.port))
    }
}

/// A failure to connect, to log in, or to pass the checks on a new connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The server answers and refuses the user or the password. Trying again will not help.
    #[error("Redis refuses the credentials ({0}); see REDIS_USERNAME and REDIS_PASSWORD")]
    CredentialsRefused(String),
    /// The user can log in, but lacks permissions that the gate needs. Trying again will not help.
    #[error(
        "the Redis user lacks rights that the gate needs: {missing}; grant them with: ACL SETUSER {user} {rule}"
    )]
    RightsMissing {
        user: String,
        missing: String,
        rule: String,
    },
    /// The server is a node of a cluster and the configuration says otherwise, or the reverse.
    #[error("{0}; see REDIS_CLUSTER_MODE")]
    WrongMode(String),
    /// The files for TLS cannot be used, or the handshake failed. Trying again will not help.
    #[error(
        "TLS with Redis: {0}; see REDIS_TLS, REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE"
    )]
    Tls(String),
    /// The server answers but accepts no writes: it is a replica, is loading its data, or is out of memory.
    #[error(
        "Redis does not take writes ({0}); see REDIS_HOST and REDIS_PORT, which must name the primary"
    )]
    NotWriting(String),
    /// No Sentinel names the address of the primary.
    #[error(
        "no Sentinel names the primary ({0}); see REDIS_SENTINELS, REDIS_SENTINEL_MASTER, REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD"
    )]
    NoPrimary(String),
    /// A Sentinel answers and refuses the user, the password or the command. Trying again will not help.
    #[error(
        "a Sentinel refuses the user ({0}); see REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD; \
         the user needs no more than +sentinel|get-master-addr-by-name"
    )]
    SentinelRefuses(String),
    /// The server does not answer, or is not ready.
    #[error(
        "Redis cannot be reached ({0}); see REDIS_HOST, REDIS_PORT, REDIS_TLS and REDIS_CLUSTER_MODE"
    )]
    Unreachable(String),
}

impl ConnectError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotWriting(_) | Self::NoPrimary(_) | Self::Unreachable(_) => true,
            Self::CredentialsRefused(_)
            | Self::RightsMissing { .. }
            | Self::SentinelRefuses(_)
            | Self::WrongMode(_)
            | Self::Tls(_) => false,
        }
    }

    /// Converts an error of connecting to an address, or of the first commands there.
    pub(super) fn at(address: &Address, error: &Error) -> Self {
        let cause = || format!("{address}: {}", error.details());
        match failure::code(error) {
            Some("NOAUTH" | "WRONGPASS") => Self::CredentialsRefused(cause()),
            Some("NOPERM") => Self::RightsMissing {
                user: "<user>".to_owned(),
                missing: error.details().to_owned(),
                rule: rule(false),
            },
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "OOM" | "MISCONF" | "NOREPLICAS") => {
                Self::NotWriting(cause())
            }
            None if *error.kind() == ErrorKind::Auth => Self::CredentialsRefused(cause()),
            // An error of rustls comes out of the socket as an I/O error of kind `InvalidData`.
            None if *error.kind() == ErrorKind::Tls
                || error.details().contains("kind: InvalidData") =>
            {
                Self::Tls(cause())
            }
            None if failure::classify(error).lasting == Lasting::Permanent => Self::Tls(cause()),
            Some(_) | None => Self::Unreachable(cause()),
        }
    }

    pub(super) fn too_late(address: &Address) -> Self {
        Self::Unreachable(format!("{address}: no answer in time"))
    }
}

/// The user and password of a login.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) username: Option<&'a str>,
    pub(super) password: Option<&'a Secret>,
}

impl<'a> Login<'a> {
    pub(super) fn of(config: &'a RedisConfig) -> Self {
        Self {
            username: config.username.as_deref(),
            password: config.password.as_ref(),
        }
    }
}

/// A client that is not connected yet.
pub(super) fn build(
    config: &RedisConfig,
    address: &Address,
    login: Login<'_>,
) -> Result<Client, ConnectError> {
    let timeout = config.command_timeout;
    Builder::from_config(Config {
        server: ServerConfig::new_centralized(address.host.clone(), address.port),
        username: login.username.map(ToOwned::to_owned),
        password: login.password.map(|password| password.reveal().to_owned()),
        tls: tls(config)?,
        fail_fast: true, // applies to the first connection only
        ..Config::default()
    })
    .with_performance_config(|performance| {
        performance.default_command_timeout = timeout;
        performance.broadcast_channel_capacity = MAX_MESSAGES;
    })
    .with_connection_config(|connection| {
        connection.connection_timeout = timeout;
        connection.internal_command_timeout = timeout;
        connection.max_command_attempts = MAX_SENDS;
        // Otherwise fred would fail every command in flight with the error reply to one of them.
        connection.reconnect_on_auth_error = false;
        connection.tcp.nodelay = Some(true);
        // A silent connection is detected by fred while nothing new is written, and by the kernel while something is (fred
        // restarts its timer with every write).
        connection.unresponsive = UnresponsiveConfig {
            max_timeout: Some(timeout * 2),
            interval: timeout / 2,
        };
        connection.tcp.user_timeout = Some(timeout * 2);
    })
    .build()
    .map_err(|error| ConnectError::at(address, &error))
}

fn tls(config: &RedisConfig) -> Result<Option<TlsConfig>, ConnectError> {
    let settings =
        tls::client(&config.tls).map_err(|error| ConnectError::Tls(error.to_string()))?;
    let connector = |settings| TlsConnector::Rustls(tokio_rustls::TlsConnector::from(settings));
    Ok(settings.map(|settings| connector(settings).into()))
}

/// Time limit of connecting in total. Its parts are name lookup, handshake, login and first commands, each of which is
/// bounded by the command timeout.
pub(super) fn connect_timeout(config: &RedisConfig) -> Duration {
    config.command_timeout * 4
}
