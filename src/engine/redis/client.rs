//! A client of one address, with its limits, login and TLS. fred by default waits without a limit, so every limit is set here.
//!
//! fred is used only in its centralized mode and without its own reconnection, which `link` replaces. The cluster mode of fred
//! 10.1 cannot follow ASK: it asks the old node again, mistakes replies to other commands for the reply to ASKING, and ends its
//! connection task when the tries of a command are used up. From then on every command times out.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fred::{
    clients::Client,
    prelude::{Builder, Error, ErrorKind},
    types::config::{Config, ServerConfig, TlsConfig, TlsConnector, UnresponsiveConfig},
};
use tokio::net::{TcpStream, lookup_host};

use super::{
    acl_rule::rule,
    failure::{self, Lasting},
};
use crate::{
    config::{RedisConfig, Secret, TlsMode, is_local, with_port},
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
    /// The address is another machine's, and the connection would not be encrypted: the password was not sent. Trying again
    /// will not help, except that Sentinels and nodes of a cluster may announce another address.
    #[error(
        "Redis at {0} is another machine, and the password would go there in clear; nothing was sent; set REDIS_TLS=verify-full, or ALLOW_PASSWORDS_IN_CLEAR=true in a private network"
    )]
    PasswordInClear(String),
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
            | Self::PasswordInClear(_)
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
pub(super) async fn build(
    config: &RedisConfig,
    address: &Address,
    login: Login<'_>,
) -> Result<Client, ConnectError> {
    let timeout = config.command_timeout;
    let tls = tls(config, address)?;
    let host = if tls.is_none() && login.password.is_some() && !config.passwords_in_clear {
        let local = tokio::time::timeout(timeout, local_ip(address)).await;
        local
            .map_err(|_| ConnectError::too_late(address))??
            .to_string()
    } else {
        address.host.clone()
    };
    Builder::from_config(Config {
        server: ServerConfig::new_centralized(host, address.port),
        username: login.username.map(ToOwned::to_owned),
        password: login.password.map(|password| password.reveal().to_owned()),
        tls,
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

/// The address behind a name of this machine, which a password may be sent to in clear. The client connects to what is returned
/// here, so that it cannot resolve the name to another machine.
async fn local_ip(address: &Address) -> Result<IpAddr, ConnectError> {
    let unreachable = |error| ConnectError::Unreachable(format!("{address}: {error}"));
    let found = lookup_host((address.host.as_str(), address.port)).await;
    let found: Vec<_> = found.map_err(unreachable)?.map(|it| it.ip()).collect();
    let local: Vec<_> = found.into_iter().filter(IpAddr::is_loopback).collect();
    let Some((last, others)) = local.split_last() else {
        return Err(ConnectError::PasswordInClear(address.to_string()));
    };
    // `localhost` may be ::1 and 127.0.0.1, of which the server listens on one.
    for ip in others {
        if TcpStream::connect(SocketAddr::new(*ip, address.port))
            .await
            .is_ok()
        {
            return Ok(*ip);
        }
    }
    Ok(*last)
}

fn tls(config: &RedisConfig, address: &Address) -> Result<Option<TlsConfig>, ConnectError> {
    if config.tls.mode == TlsMode::VerifyOthers && is_local(&address.host) {
        return Ok(None);
    }
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

#[cfg(test)]
mod tests {
    use fred::interfaces::ClientLike;

    use super::*;
    use crate::config::TlsConfig as Tls;

    /// An address of another machine, which nobody has (RFC 5737).
    const ELSEWHERE: &str = "192.0.2.1";

    fn config(mode: TlsMode) -> RedisConfig {
        RedisConfig {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            username: None,
            password: Some(Secret::new("Pq71xTz")),
            cluster_mode: false,
            sentinel: None,
            tls: Tls { mode, ..Tls::NONE },
            passwords_in_clear: false,
            command_timeout: Duration::from_millis(200),
        }
    }

    async fn built(config: &RedisConfig, host: &str) -> Result<Client, ConnectError> {
        build(config, &Address::new(host, 6379), Login::of(config)).await
    }

    #[tokio::test]
    async fn a_password_goes_to_no_other_machine_in_clear() {
        let plain = config(TlsMode::Disable);
        let refused = built(&plain, ELSEWHERE).await.err();
        assert!(
            matches!(refused, Some(ConnectError::PasswordInClear(_))),
            "{refused:?}"
        );
        let told = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("ALLOW_PASSWORDS_IN_CLEAR") && told.contains("REDIS_TLS"));
        assert!(!told.contains("Pq71xTz"), "{told}");
        for here in ["127.0.0.1", "::1"] {
            assert!(built(&plain, here).await.is_ok(), "{here}");
        }
        let permitted = RedisConfig {
            passwords_in_clear: true,
            ..config(TlsMode::Disable)
        };
        assert!(built(&permitted, ELSEWHERE).await.is_ok());
        let no_password = RedisConfig {
            password: None,
            ..config(TlsMode::Disable)
        };
        assert!(built(&no_password, ELSEWHERE).await.is_ok());
        assert!(built(&config(TlsMode::Require), ELSEWHERE).await.is_ok());
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_connected_to_as_the_address_that_was_judged() {
        let client = built(&config(TlsMode::Disable), "localhost").await;
        let server = client.ok().map(|client| client.client_config().server);
        let Some(ServerConfig::Centralized { server }) = server else {
            panic!("{server:?}");
        };
        let ip: IpAddr = server.host.parse().unwrap();
        assert!(ip.is_loopback(), "{ip}");
    }

    #[test]
    fn an_announced_address_is_encrypted_to_unless_it_is_this_machine() {
        let encrypted = |mode, host| {
            let tls = tls(&config(mode), &Address::new(host, 6379));
            tls.unwrap().is_some()
        };
        for here in ["localhost", "127.0.0.1", "::1"] {
            assert!(!encrypted(TlsMode::VerifyOthers, here), "{here}");
            assert!(encrypted(TlsMode::VerifyFull, here), "{here}");
        }
        for other in [ELSEWHERE, "redis.example", "10.0.0.7"] {
            assert!(encrypted(TlsMode::VerifyOthers, other), "{other}");
        }
    }
}
