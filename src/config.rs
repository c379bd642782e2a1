//! The configuration: plain structs, one for each section of `config/default.toml`, which explains every setting.
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
pub(crate) use tls::is_local;

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use address::Address;

/// All problems of a configuration. Each names its setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} problem{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: ServerConfig,
    pub log: TelemetryConfig,
    pub trace: TraceConfig,
    pub redis: RedisConfig,
    pub kafka: KafkaConfig,
    pub postgres: PostgresConfig,
    /// The connection to the original service's database for `import --from-original`, which names the database.
    pub original: PostgresConfig,
    pub embedded: EmbeddedConfig,
    pub auth: AuthConfig,
    pub external: ExternalConfig,
    pub limits: LimitsConfig,
    pub sale: SaleConfig,
    pub worker: WorkerConfig,
    pub events: EventsConfig,
    pub operator: OperatorConfig,
    pub stress: StressConfig,
}

/// The API's listener, and the start and the shutdown of a process.
#[allow(clippy::struct_excessive_bools)] // each is a setting
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// In production, known and weak secrets are refused.
    pub production: bool,
    pub host: String,
    /// 0: the kernel chooses a free port.
    pub port: u16,
    /// Origins for CORS; `*` for all.
    pub frontend_origins: Vec<String>,
    /// Whether `/api-docs` is served.
    pub api_docs: bool,
    pub pages: PagesConfig,
    /// Whether refused attempts are answered with the original service's 400.
    pub original_status_codes: bool,
    /// Threads that serve connections; 0: one per core.
    pub http_threads: usize,
    /// Most open connections, of all threads together.
    pub max_connections: usize,
    /// Most open connections of one network. Wider networks have a multiple of it, and `trusted_proxies` no limit. `None`: no
    /// limit.
    pub max_connections_per_network: Option<usize>,
    /// Most open streams of events, of all threads together, in addition to `max_connections`.
    pub max_listeners: usize,
    /// Most of them of one network, with the same exceptions. `None`: no limit.
    pub max_listeners_per_network: Option<usize>,
    /// Bytes of unanswered requests that all connections together may hold, not counting the first 8 KiB of each connection.
    pub max_buffered: usize,
    /// A second listener for metrics and probes. The API's listener serves the probes too. `None`: no second listener.
    pub metrics: Option<MetricsAddress>,
    pub request_timeout: Duration,
    pub keep_alive: Duration,
    pub stall_timeout: Duration,
    /// Proxies whose entries in `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Time between SIGTERM and the closing of the port.
    pub drain_delay: Duration,
    pub shutdown_timeout: Duration,
    pub startup_timeout: Duration,
    /// The process is not ready while an accepted attempt has waited longer than this to be settled. Zero: no such check.
    pub settlement_lag: Duration,
    /// An API node is ready although the ledger does not answer.
    pub ready_without_ledger: bool,
}

/// The pages that the program brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagesConfig {
    /// Whether `/` is the shopper's page.
    pub shop: bool,
    /// Whether `/admin` is the operators' console.
    pub admin: bool,
    /// Sources of images besides this server, as in a Content-Security-Policy.
    pub image_origins: Vec<String>,
    /// Origins of pages that may show ours in a frame.
    pub frame_ancestors: Vec<String>,
}

/// The address of a listener in addition to the API's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsAddress {
    pub host: String,
    pub port: u16,
}

/// The level and the format of the log.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Directives of tracing's `EnvFilter`.
    pub level: String,
    pub json: bool,
}

/// Traces.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// The base URL of an OpenTelemetry collector; `None`: nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// The share of requests that are traced, of those that name no trace, from 0 to 1.
    pub sample_ratio: f64,
}

/// The connection to Redis, which holds the stock gate.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub cluster_mode: bool,
    /// The Sentinels, which know the server's address. `None`: `host` and `port` are the address of the server or of a cluster
    /// node.
    pub sentinel: Option<SentinelConfig>,
    /// Used for connections to Sentinels, too.
    pub tls: TlsConfig,
    /// Whether passwords may be sent to another machine over a connection that is not encrypted.
    pub passwords_in_clear: bool,
    pub command_timeout: Duration,
}

/// The connection to the Sentinels, which know the address of the primary.
#[derive(Debug, Clone)]
pub struct SentinelConfig {
    /// Host and port of each Sentinel.
    pub addresses: Vec<(String, u16)>,
    /// The name of the primary in the Sentinels' configuration.
    pub master: String,
    /// For the Sentinels; the login to the Redis server is in [`RedisConfig`].
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// Whether connections to a server are encrypted, and whether the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted; the server's certificate must be from a trusted authority and for the host name of the connection.
    VerifyFull,
    /// As `VerifyFull`, except that a connection to this machine is not encrypted. For servers that announce the addresses of
    /// others: each address is judged when it is connected to.
    VerifyOthers,
}

/// Encryption of the connections to one kind of server. Files are in PEM format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    pub mode: TlsMode,
    /// Certificates of the trusted authorities; the system's if `None`.
    pub ca_file: Option<String>,
    /// The files of the client's certificate and of its key.
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

/// The connection to Kafka, which holds the attempt log.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub brokers: Vec<String>,
    pub client_id: String,
    pub topic: String,
    pub dead_letter_topic: String,
    /// Where events are published; `None`: in no topic.
    pub events_topic: Option<String>,
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

/// The SASL mechanisms that use a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// The kind of connection pooler between this process and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// No pooler, or one that keeps one session for each connection.
    None,
    /// A pooler that may use another session for each transaction.
    Transaction,
}

/// The connection to PostgreSQL, which holds the ledger.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Host names, IP addresses or socket directories, separated by commas, each with or without a port. The first one that
    /// accepts writes is used.
    pub host: String,
    /// The port of hosts without one.
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
                // The directory of a Unix socket. Any other text was refused when the settings were read.
                Err(_) => (host.to_owned(), self.port),
            }
        });
        servers.collect()
    }

    /// All hosts with their ports, comma-separated, for messages to an operator.
    #[must_use]
    pub fn server(&self) -> String {
        let servers = self.servers();
        let addresses = servers.iter().map(|(host, port)| with_port(host, *port));
        addresses.collect::<Vec<_>>().join(",")
    }
}

/// The storage of the embedded engines.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    pub data_dir: PathBuf,
}

/// The person who runs a command.
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
    /// Whether registration refuses common passwords, which attackers try first.
    pub password_blocklist: bool,
}

/// Accounts that the shop keeps, and that are known here by its issuer's name and a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalConfig {
    /// Whether shoppers can register and log in here.
    pub local_accounts: bool,
    /// The name of the issuer, as its tokens have it. `None`: there are no external accounts.
    pub issuer: Option<String>,
    /// `None`: tokens of the issuer are not exchanged, and external accounts are made by programs of the shop alone.
    pub exchange: Option<ExchangeConfig>,
}

/// Which tokens of the issuer are exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// The issuer's name.
    pub issuer: String,
    /// What a token must name as its audience.
    pub audience: String,
    /// The address of the issuer's public keys (RFC 7517).
    pub jwks_url: String,
    pub algorithms: Vec<IssuerAlgorithm>,
    /// Whether the keys are read over TLS only.
    pub https_only: bool,
}

/// How the issuer signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerAlgorithm {
    Rs256,
    Es256,
    EdDsa,
}

/// Rate limits; 0 is no limit. `config/default.toml` has their periods.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    pub logins_per_address: u32,
    pub failed_logins_per_account: u32,
    pub registrations_per_address: u32,
    pub registrations_per_account: u32,
    pub attempts_per_user: u32,
    pub attempts_per_address: u32,
    /// Whether limits by address also apply to clients on this machine.
    pub loopback: bool,
}

/// The sale that `seed` creates, and the time for which results are kept.
#[derive(Debug, Clone)]
pub struct SaleConfig {
    /// The current time if `None`.
    pub start: Option<DateTime<Utc>>,
    /// 24 hours after the start if `None`.
    pub end: Option<DateTime<Utc>>,
    pub product_sku: String,
    pub total_stock: u32,
    pub result_ttl: Duration,
}

/// The worker, which settles attempts.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    pub enabled: bool,
    pub host: String,
    /// The port of the worker's probes and metrics; `None`: it does not listen.
    pub port: Option<u16>,
    pub lease: Duration,
    pub pending_age: Duration,
}

/// Events for other systems.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// Whether events are recorded and delivered.
    pub enabled: bool,
    /// How long events are kept.
    pub retention: Duration,
    /// Whether webhooks may go to addresses that are not public, and without TLS.
    pub private_networks: bool,
}

/// The load that `stress` generates unless its arguments say otherwise.
#[derive(Debug, Clone)]
pub struct StressConfig {
    pub users: u32,
    pub concurrent: u32,
    pub base_url: String,
}
