//! One client of one address: its limits, its login and its TLS. fred's defaults wait for ever; every limit is set here.
//!
//! fred is used in its centralized mode only, without reconnecting by itself: `link` does that. Its cluster mode (10.1)
//! cannot follow ASK: it asks the old node again, takes the reply to ASKING from among the replies to other commands, and
//! ends its connection task when the commands' attempts are used up; from then on every command times out.

use std::{fmt, time::Duration};

use fred::{
    clients::Client,
    prelude::{Builder, Error, ErrorKind},
    types::config::{Config, ServerConfig, TlsConfig, TlsConnector, UnresponsiveConfig},
};

use super::failure::{self, Lasting};
use crate::{
    config::{RedisConfig, Secret, with_port},
    engine::tls,
};

/// How often a command is sent at most. A command whose connection broke is never sent again: its caller has to handle an
/// unknown outcome anyway, and would wait meanwhile.
const MAX_SENDS: u32 = 1;

/// Where a server is.
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

/// Why no connection could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The server answers and refuses the user or the password. Trying again will not help.
    #[error("Redis refuses the credentials ({0}); see REDIS_USERNAME and REDIS_PASSWORD")]
    CredentialsRefused(String),
    /// The user may log in, but not do what the gate does. Trying again will not help.
    #[error(
        "the Redis user lacks rights that the gate needs: {missing}; grant them with: ACL SETUSER {user} {rule}"
    )]
    RightsMissing {
        user: String,
        missing: String,
        rule: String,
    },
    /// The server is a cluster's node and the configuration says otherwise, or the other way round.
    #[error("{0}; see REDIS_CLUSTER_MODE")]
    WrongMode(String),
    /// The files for TLS cannot be used, or the handshake failed. Trying again will not help.
    #[error(
        "TLS with Redis: {0}; see REDIS_TLS, REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE"
    )]
    Tls(String),
    /// The server answers, and does not write: a replica, a server that is loading or out of memory.
    #[error(
        "Redis does not take writes ({0}); see REDIS_HOST and REDIS_PORT, which must name the primary"
    )]
    NotWriting(String),
    /// No Sentinel says where the primary is.
    #[error(
        "no Sentinel names the primary ({0}); see REDIS_SENTINELS, REDIS_SENTINEL_MASTER, REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD"
    )]
    NoPrimary(String),
    /// The Sentinels answer and refuse the user, the password or the question. Trying again will not help.
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

    /// An error of connecting to one address, or of the first commands there.
    pub(super) fn at(address: &Address, error: &Error) -> Self {
        let told = || format!("{address}: {}", error.details());
        match failure::code(error) {
            Some("NOAUTH" | "WRONGPASS") => Self::CredentialsRefused(told()),
            Some("NOPERM") => Self::RightsMissing {
                user: "<user>".to_owned(),
                missing: error.details().to_owned(),
                rule: super::rights::rule(false),
            },
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "OOM" | "MISCONF" | "NOREPLICAS") => {
                Self::NotWriting(told())
            }
            None if *error.kind() == ErrorKind::Auth => Self::CredentialsRefused(told()),
            // How rustls' errors come out of a socket (std::io::ErrorKind).
            None if *error.kind() == ErrorKind::Tls
                || error.details().contains("kind: InvalidData") =>
            {
                Self::Tls(told())
            }
            None if failure::of(error).lasting == Lasting::Permanent => Self::Tls(told()),
            Some(_) | None => Self::Unreachable(told()),
        }
    }

    pub(super) fn too_late(address: &Address) -> Self {
        Self::Unreachable(format!("{address}: no answer in time"))
    }
}

/// Who logs in.
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
        fail_fast: true, // of the first connection only
        ..Config::default()
    })
    .with_performance_config(|performance| performance.default_command_timeout = timeout)
    .with_connection_config(|connection| {
        connection.connection_timeout = timeout;
        connection.internal_command_timeout = timeout;
        connection.max_command_attempts = MAX_SENDS;
        // fred would end every command in flight with the answer to one of them.
        connection.reconnect_on_auth_error = false;
        connection.tcp.nodelay = Some(true);
        // A silent connection is found out in two ways: by fred when nothing new is written, by the kernel when
        // something is (fred starts its count anew with every write).
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

/// How long connecting may take in all: looking up the name, the handshake, logging in, and the first commands are each
/// bounded by the command's timeout.
pub(super) fn patience(config: &RedisConfig) -> Duration {
    config.command_timeout * 4
}
