//! The configuration: plain structs, one a section of `config/default.toml`, which explains every setting.
//!
//! This module and its children are the only ones that read the environment. Tests build the structs as literals.

mod address;
mod env_file;
mod production;
mod read;
mod reader;
mod secret;
mod sources;
mod tls;

pub use address::with_port;
pub use production::{is_known_password, weakness_of_secret};
pub use secret::Secret;
pub use sources::{Intent, Sources, VARIABLES};

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use address::Address;

/// Every problem of a configuration, each naming its setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} problem{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: ServerConfig,
    pub log: TelemetryConfig,
    pub redis: RedisConfig,
    pub kafka: KafkaConfig,
    pub postgres: PostgresConfig,
    /// Where the database of the original service is, for `import --from-original`, which names it.
    pub original: PostgresConfig,
    pub embedded: EmbeddedConfig,
    pub auth: AuthConfig,
    pub limits: LimitsConfig,
    pub sale: SaleConfig,
    pub worker: WorkerConfig,
    pub operator: OperatorConfig,
    pub stress: StressConfig,
}

/// How the API listens and how a process starts and ends.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Known and weak secrets are refused.
    pub production: bool,
    pub host: String,
    /// 0 takes a free one.
    pub port: u16,
    /// Origins for CORS; `*` for all.
    pub frontend_origins: Vec<String>,
    /// Whether `/api-docs` is served.
    pub api_docs: bool,
    /// Whether refused attempts are answered with the original service's 400.
    pub original_status_codes: bool,
    pub http_threads: usize,
    /// Of all threads.
    pub max_connections: usize,
    /// Of one network; wider ones have some times as many, and `trusted_proxies` no limit. `None`: nobody has one.
    pub max_connections_per_network: Option<usize>,
    /// Bytes that all connections together may hold of requests that are not answered, beyond a small one each.
    pub max_buffered: usize,
    /// Where metrics, and the probes once more, are served on connections of their own; `None`: nowhere.
    pub metrics: Option<MetricsAddress>,
    pub request_timeout: Duration,
    pub keep_alive: Duration,
    pub stall_timeout: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Between SIGTERM and the closing of the port.
    pub drain_delay: Duration,
    pub shutdown_timeout: Duration,
    pub startup_timeout: Duration,
    /// Not ready when an accepted attempt has been waiting for longer to be settled; zero: ready however long it takes.
    pub settlement_lag: Duration,
}

/// A listener beside the API's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsAddress {
    pub host: String,
    pub port: u16,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Directives of tracing's `EnvFilter`.
    pub level: String,
    pub json: bool,
}

/// Where the stock gate is.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub cluster_mode: bool,
    /// `None`: the address above is the server's, or a cluster node's.
    pub sentinel: Option<SentinelConfig>,
    /// Of Sentinels, too.
    pub tls: TlsConfig,
    pub command_timeout: Duration,
}

/// Who knows where the primary is.
#[derive(Debug, Clone)]
pub struct SentinelConfig {
    /// Host and port of each Sentinel.
    pub addresses: Vec<(String, u16)>,
    /// The name of the primary, as the Sentinels call it.
    pub master: String,
    /// Of the Sentinels; the server's own are in [`RedisConfig`].
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// Whether a connection to a server is encrypted, and whether the server has to prove its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// The server's certificate is of a trusted authority, and for the name that was connected to.
    VerifyFull,
}

/// How connections to one kind of server are encrypted. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    pub mode: TlsMode,
    /// Authorities to trust; the system's if `None`.
    pub ca_file: Option<String>,
    /// The client's certificate and its key.
    pub identity: Option<(String, String)>,
}

impl TlsConfig {
    /// No encryption.
    pub const NONE: Self = Self {
        mode: TlsMode::Disable,
        ca_file: None,
        identity: None,
    };
}

/// Where the attempt log is.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub brokers: Vec<String>,
    pub client_id: String,
    pub topic: String,
    pub dead_letter_topic: String,
    pub consumer_group: String,
    pub partitions: i32,
    pub replication_factor: i16,
    pub append_timeout: Duration,
    pub tls: TlsConfig,
    pub sasl: Option<SaslConfig>,
}

/// How to log in to Kafka.
#[derive(Debug, Clone)]
pub enum SaslConfig {
    Password {
        mechanism: SaslMechanism,
        username: String,
        password: Secret,
    },
    /// With a token from a file, which is read at each login.
    OauthBearer { token_file: String },
}

/// The mechanisms with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// What may stand between this process and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that gives each connection a session of its own.
    None,
    /// A pooler that may give each transaction another session.
    Transaction,
}

/// Where the ledger is.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Hosts, addresses or socket directories, separated by commas, each with a port or without: the first one that takes
    /// writes is used.
    pub host: String,
    /// Of those that name none.
    pub port: u16,
    pub tls: TlsConfig,
    pub pooler: Pooler,
    pub user: String,
    pub password: Secret,
    pub database: String,
    pub pool_size: usize,
    pub pool_timeout: Duration,
    pub statement_timeout: Duration,
}

impl PostgresConfig {
    /// Every host with its port, in the order of the setting.
    #[must_use]
    pub fn servers(&self) -> Vec<(String, u16)> {
        let hosts = self.host.split(',').map(str::trim);
        let servers = hosts.filter(|host| !host.is_empty()).map(|host| {
            match host.parse::<Address>() {
                Ok(address) => (address.host, address.port.unwrap_or(self.port)),
                // The directory of a Unix socket; anything else has been refused when the settings were read.
                Err(_) => (host.to_owned(), self.port),
            }
        });
        servers.collect()
    }

    /// The same, as an operator is told.
    #[must_use]
    pub fn server(&self) -> String {
        let servers = self.servers();
        let told = servers.iter().map(|(host, port)| with_port(host, *port));
        told.collect::<Vec<_>>().join(",")
    }
}

/// Where everything is when the engines are embedded.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    pub data_dir: PathBuf,
}

/// Whoever runs a command.
#[derive(Debug, Clone)]
pub struct OperatorConfig {
    pub name: Option<String>,
}

/// Tokens and passwords.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    pub jwt_secret: Secret,
    /// Tokens signed with it are accepted, too, while the secret is being replaced.
    pub jwt_secret_previous: Option<Secret>,
    pub token_ttl: Duration,
    pub password_memory_kib: u32,
    pub password_passes: u32,
    pub password_threads: usize,
    pub password_queue: usize,
    /// Whether passwords that are guessed first are refused at registration.
    pub password_blocklist: bool,
}

/// How often is too often; 0 is no limit.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    pub logins_per_address: u32,
    pub failed_logins_per_account: u32,
    pub registrations_per_address: u32,
    pub registrations_per_account: u32,
    pub attempts_per_user: u32,
    pub attempts_per_address: u32,
    /// Whether limits by address hold for clients on this machine, too.
    pub loopback: bool,
}

/// The seeded sale, and how long results stay.
#[derive(Debug, Clone)]
pub struct SaleConfig {
    /// Now if `None`.
    pub start: Option<DateTime<Utc>>,
    /// 24 hours after the start if `None`.
    pub end: Option<DateTime<Utc>>,
    /// SKU.
    pub product_sku: String,
    pub total_stock: u32,
    pub result_ttl: Duration,
}

/// The consumers.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    pub enabled: bool,
    pub host: String,
    /// Of the worker's health and metrics; `None`: it does not listen.
    pub port: Option<u16>,
    pub lease: Duration,
    pub pending_age: Duration,
}

/// The load that `stress` makes unless its arguments say otherwise.
#[derive(Debug, Clone)]
pub struct StressConfig {
    pub users: u32,
    pub concurrent: u32,
    pub base_url: String,
}

impl Config {
    /// Reads defaults, file and environment, and checks them; all problems are reported at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        Self::load_for(sources, &[""]).map(|(config, _)| config)
    }

    /// The same for who uses some settings only: those whose names in the file begin with one of `used`. What is wrong with
    /// others is no error and comes with the configuration; they then have some valid value.
    pub fn load_for(sources: &Sources, used: &[&str]) -> Result<(Self, Vec<String>), ConfigErrors> {
        read::config(sources, used)
    }
}
