//! Converts the texts of all settings to a [`Config`] and checks them. It collects all problems before it fails.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    AuthConfig, Config, ConfigErrors, EmbeddedConfig, EventsConfig, ExchangeConfig, ExternalConfig,
    IssuerAlgorithm, KafkaConfig, LimitsConfig, MetricsAddress, OperatorConfig, PagesConfig,
    Pooler, PostgresConfig, RedisConfig, SaleConfig, SaslConfig, SaslMechanism, Secret,
    SentinelConfig, ServerConfig, Sources, StressConfig, TelemetryConfig, TlsConfig, TlsMode,
    TraceConfig, WorkerConfig, address::Address, production, reader::Reader, tls, with_port,
};

/// Accepted lifetimes of a token. A shorter one could end between the login and the sale. A longer one would keep a token valid
/// long after it leaked or after its account was deleted.
const TOKEN_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(30 * 24);
/// The product in the original's example configuration. The original's own data does not have it, so [`DEFAULT_SKU`] is used
/// instead.
const ORIGINAL_PLACEHOLDER_PRODUCT: &str = "flash-sale-product-001";
/// The default ports of servers whose address has none.
const KAFKA_PORT: u16 = 9092;
const SENTINEL_PORT: u16 = 26379;
const DEFAULT_SKU: &str = "FLASH-001";
/// By default, the limit of one network's connections is the server's limit divided by this number.
const DEFAULT_NETWORKS: usize = 5;

impl Config {
    /// Reads defaults, file and environment, and checks them; all problems are reported at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        Self::load_for(sources, &[""]).map(|(config, _)| config)
    }

    /// Like [`Self::load`], for a command that uses only settings whose names in the file begin with one of `used`. Problems of
    /// other settings are no error. They are returned with the configuration, in which such a setting has a placeholder value.
    pub fn load_for(sources: &Sources, used: &[&str]) -> Result<(Self, Vec<String>), ConfigErrors> {
        config(sources, used)
    }
}

/// Returns the configuration and the problems of settings that are not used, as [`Config::load_for`] describes.
fn config(sources: &Sources, used: &[&str]) -> Result<(Config, Vec<String>), ConfigErrors> {
    let (texts, problems) = sources.texts();
    let mut read = Reader::new(texts, problems);
    let production = read.choice(
        "server.environment",
        &[("development", false), ("production", true)],
    );
    let postgres = postgres(&mut read, production);
    let config = Config {
        server: server(&mut read, production),
        log: TelemetryConfig {
            level: read.log_level("log.level"),
            json: read.choice("log.format", &[("text", false), ("json", true)]),
        },
        trace: TraceConfig {
            otlp_endpoint: read.optional_base_url("trace.otlp_endpoint"),
            sample_ratio: read.ratio("trace.sample_ratio"),
        },
        redis: redis(&mut read, production),
        kafka: kafka(&mut read, production),
        original: original(&mut read, production, &postgres),
        postgres,
        embedded: EmbeddedConfig {
            data_dir: PathBuf::from(read.required("embedded.data_dir")),
        },
        auth: auth(&mut read, production),
        external: external(&mut read, production),
        limits: limits(&mut read, production),
        sale: sale(&mut read),
        worker: worker(&mut read),
        events: events(&mut read),
        operator: OperatorConfig {
            name: read.optional("operator.name"),
        },
        stress: StressConfig {
            users: read.number("stress.users", 1..=10_000_000),
            concurrent: read.number("stress.concurrent", 1..=50_000),
            base_url: read.base_url("stress.base_url"),
        },
    };
    if production {
        production::check(&config, sources.intent, &mut read);
    }
    let (problems, unused) = read.into_problems(used);
    if problems.is_empty() {
        Ok((config, unused))
    } else {
        Err(ConfigErrors(problems))
    }
}

fn server(read: &mut Reader, production: bool) -> ServerConfig {
    let (host, port) = read.listen("server.host", "server.port");
    let max_connections = read.number("server.max_connections", 1..=1_000_000);
    let per_network = match read.number("server.max_connections_per_network", 0..=1_000_000) {
        0 => (max_connections / DEFAULT_NETWORKS).max(1),
        number => number,
    };
    let listeners_per_network = read.number("server.max_listeners_per_network", 1..=1_000_000);
    ServerConfig {
        production,
        host,
        port,
        frontend_origins: read.origins("server.frontend_url"),
        api_docs: read.flag("server.api_docs"),
        pages: PagesConfig {
            shop: read.flag("server.shop_page"),
            admin: read.flag("server.admin_page"),
            image_origins: read.page_origins("server.page_image_origins", &["https:"]),
            frame_ancestors: read.page_origins("server.page_frame_ancestors", &["'self'"]),
        },
        original_status_codes: read.flag("server.original_status_codes"),
        http_threads: read.number("server.http_threads", 0..=1024),
        max_connections,
        max_connections_per_network: production.then_some(per_network),
        max_listeners: read.number("server.max_listeners", 0..=1_000_000),
        max_listeners_per_network: production.then_some(listeners_per_network),
        max_buffered: read.number::<usize>("server.max_buffered_mib", 1..=65_536) << 20,
        metrics: metrics_address(read),
        keep_alive: read.secs("server.keep_alive_secs", 1..=3_600),
        stall_timeout: read.secs("server.stall_timeout_secs", 1..=3_600),
        trusted_proxies: read.networks("server.trusted_proxies"),
        request_timeout: read.millis("server.request_timeout_ms", 100..=600_000),
        drain_delay: read.secs("server.drain_delay_secs", 0..=600),
        shutdown_timeout: read.secs("server.shutdown_timeout_secs", 1..=3_600),
        startup_timeout: read.secs("server.startup_timeout_secs", 1..=3_600),
        settlement_lag: read.secs("server.settlement_lag_secs", 0..=86_400),
        ready_without_ledger: read.flag("server.ready_without_ledger"),
    }
}

fn metrics_address(read: &mut Reader) -> Option<MetricsAddress> {
    let (host, port) = read.listen("server.metrics_host", "server.metrics_port");
    (port != 0).then_some(MetricsAddress { host, port })
}

fn redis(read: &mut Reader, production: bool) -> RedisConfig {
    let (host, port) = read.server("redis.host", "redis.port");
    let sentinel = sentinel(read);
    let tls = match &sentinel {
        None => tls::read(read, "redis", &[&host], production),
        Some(sentinel) => {
            let hosts = sentinel.addresses.iter().map(|(host, _)| host.as_str());
            tls::read(read, "redis", &hosts.collect::<Vec<_>>(), production)
        }
    };
    RedisConfig {
        host,
        port,
        username: read.optional("redis.username"),
        password: read.optional("redis.password").map(Secret::new),
        cluster_mode: read.flag("redis.cluster_mode"),
        sentinel,
        tls,
        command_timeout: read.millis("redis.command_timeout_ms", 50..=60_000),
    }
}

fn sentinel(read: &mut Reader) -> Option<SentinelConfig> {
    if read.optional("redis.sentinels").is_none() {
        if read.optional("redis.sentinel_master").is_some() {
            read.problem("redis.sentinels", "must name the Sentinels of the primary");
        }
        return None;
    }
    if read.text("redis.cluster_mode").eq_ignore_ascii_case("true") {
        read.problem(
            "redis.sentinels",
            "must be empty in cluster mode: a cluster fails over by itself",
        );
    }
    Some(SentinelConfig {
        addresses: read.servers("redis.sentinels", SENTINEL_PORT),
        master: read.required("redis.sentinel_master"),
        username: read.optional("redis.sentinel_username"),
        password: read.optional("redis.sentinel_password").map(Secret::new),
    })
}

fn kafka(read: &mut Reader, production: bool) -> KafkaConfig {
    let topic = read.topic("kafka.topic");
    let dead_letter_topic = match read.optional("kafka.dead_letter_topic") {
        Some(_) => read.topic("kafka.dead_letter_topic"),
        None => format!("{topic}.dlq"),
    };
    if dead_letter_topic == topic {
        read.problem(
            "kafka.dead_letter_topic",
            "must differ from the topic of the attempts",
        );
    }
    let events_topic = read.optional("kafka.events_topic");
    let events_topic = events_topic.map(|_| read.topic("kafka.events_topic"));
    if let Some(events) = &events_topic {
        if *events == topic || *events == dead_letter_topic {
            read.problem(
                "kafka.events_topic",
                "must differ from the topics of attempts and dead letters",
            );
        }
        if !read.text("events.enabled").eq_ignore_ascii_case("true") {
            read.problem(
                "kafka.events_topic",
                "is of no use while no events are recorded: set EVENTS_ENABLED=true",
            );
        }
    }
    let brokers = read.servers("kafka.brokers", KAFKA_PORT);
    let hosts: Vec<_> = brokers.iter().map(|(host, _)| host.as_str()).collect();
    let tls = tls::read(read, "kafka", &hosts, production);
    // rskafka 0.6 takes the part of the address before its first colon as the server name for TLS.
    if tls.mode != TlsMode::Disable
        && let Some(host) = hosts.iter().find(|host| host.contains(':'))
    {
        read.problem(
            "kafka.brokers",
            &format!(
                "must name brokers by host name or IPv4 address over TLS (KAFKA_TLS), not as {host}"
            ),
        );
    }
    KafkaConfig {
        brokers: brokers
            .iter()
            .map(|(host, port)| with_port(host, *port))
            .collect(),
        client_id: read.required("kafka.client_id"),
        topic,
        dead_letter_topic,
        events_topic,
        consumer_group: read.required("kafka.consumer_group"),
        partitions: read.number("kafka.partitions", 1..=10_000),
        replication_factor: read.number("kafka.replication_factor", 1..=100),
        append_timeout: read.millis("kafka.append_timeout_ms", 50..=60_000),
        tls,
        sasl: sasl(read),
    }
}

fn sasl(read: &mut Reader) -> Option<SaslConfig> {
    /// The kind of mechanism, which decides which other settings are read.
    #[derive(Clone, Copy)]
    enum Chosen {
        Password(SaslMechanism),
        Token,
    }

    read.optional("kafka.sasl_mechanism")?;
    let chosen = read.choice(
        "kafka.sasl_mechanism",
        &[
            ("PLAIN", Chosen::Password(SaslMechanism::Plain)),
            (
                "SCRAM-SHA-256",
                Chosen::Password(SaslMechanism::ScramSha256),
            ),
            (
                "SCRAM-SHA-512",
                Chosen::Password(SaslMechanism::ScramSha512),
            ),
            ("OAUTHBEARER", Chosen::Token),
        ],
    );
    Some(match chosen {
        Chosen::Password(mechanism) => SaslConfig::Password {
            mechanism,
            username: read.required("kafka.sasl_username"),
            password: Secret::new(read.required("kafka.sasl_password")),
        },
        Chosen::Token => SaslConfig::OauthBearer {
            token_file: read.required("kafka.sasl_token_file"),
        },
    })
}

fn postgres(read: &mut Reader, production: bool) -> PostgresConfig {
    let host = postgres_hosts(read, "postgres.host");
    let named = named_hosts(&host);
    let hosts: Vec<&str> = named.iter().map(String::as_str).collect();
    let tls = tls::read(read, "postgres", &hosts, production);
    PostgresConfig {
        host,
        tls,
        pooler: read.choice(
            "postgres.pooler",
            &[("none", Pooler::None), ("transaction", Pooler::Transaction)],
        ),
        port: read.number("postgres.port", 1..=u16::MAX),
        user: read.required("postgres.user"),
        password: Secret::new(read.text("postgres.password")),
        database: read.required("postgres.database"),
        pool_size: read.number("postgres.pool_size", 2..=10_000),
        pool_timeout: read.millis("postgres.pool_timeout_ms", 50..=60_000),
        statement_timeout: read.millis("postgres.statement_timeout_ms", 100..=600_000),
    }
}

/// The connection to the original's database: that of `ours`, except for the settings that `original` has.
fn original(read: &mut Reader, production: bool, ours: &PostgresConfig) -> PostgresConfig {
    let host = read
        .optional("original.host")
        .map(|_| postgres_hosts(read, "original.host"));
    let is_set = |read: &Reader, setting| read.optional(setting).is_some();
    PostgresConfig {
        tls: match &host {
            // Both share this setting, whose problems were reported when `ours` was read.
            Some(host) if read.text("postgres.tls").eq_ignore_ascii_case("auto") => TlsConfig {
                mode: tls::automatic(named_hosts(host), production),
                ..ours.tls.clone()
            },
            Some(_) | None => ours.tls.clone(),
        },
        host: host.unwrap_or_else(|| ours.host.clone()),
        port: if is_set(read, "original.port") {
            read.number("original.port", 1..=u16::MAX)
        } else {
            ours.port
        },
        user: read
            .optional("original.user")
            .unwrap_or_else(|| ours.user.clone()),
        password: read
            .optional("original.password")
            .map_or_else(|| ours.password.clone(), Secret::new),
        // Works with a pooler too: the import reads the database in one transaction.
        pooler: Pooler::None,
        ..ours.clone()
    }
}

/// Checks a list of addresses and of directories of Unix sockets, and returns it separated by commas.
fn postgres_hosts(read: &mut Reader, setting: &str) -> String {
    let items = read.list(setting);
    if items.is_empty() {
        read.problem(setting, "must name at least one address");
    }
    let hosts = items.into_iter().map(|item| {
        if item.starts_with('/') {
            return item;
        }
        let address = read.parse_address(setting, &item);
        if address.port == Some(0) {
            read.problem(setting, "names port 0, which nobody can connect to");
        }
        address.to_string()
    });
    hosts.collect::<Vec<_>>().join(",")
}

/// The hosts of [`postgres_hosts`] without ports. Sockets, which are always on this machine, are left out.
fn named_hosts(hosts: &str) -> Vec<String> {
    let addresses = hosts.split(',').filter_map(|host| host.parse().ok());
    addresses.map(|address: Address| address.host).collect()
}

fn auth(read: &mut Reader, production: bool) -> AuthConfig {
    AuthConfig {
        jwt_secret: Secret::new(read.required("auth.jwt_secret")),
        jwt_secret_previous: read.optional("auth.jwt_secret_previous").map(Secret::new),
        token_ttl: read.lifetime("auth.jwt_expires_in", TOKEN_LIFETIMES),
        password_memory_kib: read.number("auth.password_memory_kib", 8..=4_194_304),
        password_passes: read.number("auth.password_passes", 1..=100),
        password_threads: read.number("auth.password_threads", 0..=1024),
        password_queue: read.number("auth.password_queue", 1..=100_000),
        password_blocklist: read
            .choice(
                "auth.password_blocklist",
                &[("auto", None), ("true", Some(true)), ("false", Some(false))],
            )
            .unwrap_or(production),
    }
}

fn external(read: &mut Reader, production: bool) -> ExternalConfig {
    let local_accounts = read.flag("external.local_accounts");
    let issuer = read.optional("external.issuer");
    if !local_accounts && issuer.is_none() {
        let what = "is false, while EXTERNAL_ISSUER is empty: nobody could buy";
        read.problem("external.local_accounts", what);
    }
    let exchange = exchange(read, issuer.as_deref(), production);
    ExternalConfig {
        local_accounts,
        issuer,
        exchange,
    }
}

fn exchange(read: &mut Reader, issuer: Option<&str>, production: bool) -> Option<ExchangeConfig> {
    let algorithms = algorithms(read, "external.algorithms");
    let audience = read.optional("external.audience");
    let Some(jwks_url) = read.optional("external.jwks_url") else {
        if audience.is_some() {
            let what = "is set, while EXTERNAL_JWKS_URL is empty: no token could be verified";
            read.problem("external.audience", what);
        }
        return None;
    };
    let is_address = jwks_url.starts_with("https://") || jwks_url.starts_with("http://");
    if !is_address || jwks_url.contains('@') {
        let what =
            "must begin with https:// or, in development, http://, without a user or a password";
        read.problem("external.jwks_url", what);
    } else if production && !jwks_url.starts_with("https://") {
        let what = "must begin with https:// in production: whoever changes the keys on their way can be anybody";
        read.problem("external.jwks_url", what);
    }
    if issuer.is_none() {
        let what = "must name the issuer, as its tokens do, when EXTERNAL_JWKS_URL is set";
        read.problem("external.issuer", what);
    }
    if audience.is_none() {
        let what = "must not be empty when EXTERNAL_JWKS_URL is set: tokens for other services would be taken";
        read.problem("external.audience", what);
    }
    Some(ExchangeConfig {
        issuer: issuer.unwrap_or_default().to_owned(),
        audience: audience.unwrap_or_default(),
        jwks_url,
        algorithms,
        https_only: production,
    })
}

fn algorithms(read: &mut Reader, setting: &str) -> Vec<IssuerAlgorithm> {
    const NAMES: [(&str, IssuerAlgorithm); 3] = [
        ("RS256", IssuerAlgorithm::Rs256),
        ("ES256", IssuerAlgorithm::Es256),
        ("EdDSA", IssuerAlgorithm::EdDsa),
    ];
    let of = |name: &String| {
        let known = NAMES.iter().find(|(known, _)| known == name);
        known.map(|(_, algorithm)| *algorithm)
    };
    let algorithms: Option<Vec<_>> = read.list(setting).iter().map(of).collect();
    let algorithms = algorithms.unwrap_or_default();
    if algorithms.is_empty() {
        let what = "must be one or more of RS256, ES256 and EdDSA, comma-separated";
        read.problem(setting, what);
    }
    algorithms
}

fn limits(read: &mut Reader, production: bool) -> LimitsConfig {
    let loopback = read.choice(
        "limits.loopback",
        &[("auto", None), ("true", Some(true)), ("false", Some(false))],
    );
    let mut limit = |setting| read.number(setting, 0..=1_000_000);
    LimitsConfig {
        logins_per_address: limit("limits.logins_per_address"),
        failed_logins_per_account: limit("limits.failed_logins_per_account"),
        registrations_per_address: limit("limits.registrations_per_address"),
        registrations_per_account: limit("limits.registrations_per_account"),
        attempts_per_user: limit("limits.attempts_per_user"),
        attempts_per_address: limit("limits.attempts_per_address"),
        loopback: loopback.unwrap_or(production),
    }
}

fn sale(read: &mut Reader) -> SaleConfig {
    let start = read.instant("sale.start_time");
    let end = read.instant("sale.end_time");
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        read.problem("sale.end_time", "must be after the start");
    }
    let product_sku = read
        .optional("sale.product_id")
        .filter(|sku| sku != ORIGINAL_PLACEHOLDER_PRODUCT)
        .unwrap_or_else(|| DEFAULT_SKU.to_owned());
    SaleConfig {
        start,
        end,
        product_sku,
        total_stock: read.number("sale.total_stock", 0..=1_000_000_000),
        result_ttl: read.secs("sale.result_ttl_secs", 60..=31_536_000),
    }
}

fn worker(read: &mut Reader) -> WorkerConfig {
    let (host, port) = read.listen("worker.host", "worker.port");
    WorkerConfig {
        enabled: read.flag("worker.enabled"),
        host,
        port: Some(port).filter(|port| *port != 0),
        lease: read.secs("worker.lease_secs", 1..=3_600),
        pending_age: read.secs("worker.pending_age_secs", 1..=3_600),
    }
}

fn events(read: &mut Reader) -> EventsConfig {
    let days = read.number::<u32>("events.retention_days", 1..=90);
    EventsConfig {
        enabled: read.flag("events.enabled"),
        retention: Duration::from_hours(24 * u64::from(days)),
        private_networks: read.flag("events.webhooks_to_private_networks"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{VARIABLES, sources::SECRETS},
        *,
    };

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Config::load(&Sources {
            variables,
            ..Sources::default()
        })
    }

    #[test]
    fn the_defaults_are_the_original_s() {
        let config = with(&[]).unwrap();
        assert_eq!(
            (config.server.port, config.redis.port, config.postgres.port),
            (3000, 6379, 5433)
        );
        assert_eq!(config.kafka.brokers, ["localhost:9092"]);
        assert_eq!(config.kafka.topic, "flashsale.attempts");
        assert_eq!(config.kafka.dead_letter_topic, "flashsale.attempts.dlq");
        assert_eq!(config.kafka.consumer_group, "flash-sale-worker-group");
        assert_eq!(config.auth.token_ttl, Duration::from_hours(24));
        assert_eq!(
            (config.sale.total_stock, config.worker.enabled),
            (1000, true)
        );
    }

    /// The variables of the original's README, which are those of its `.env.example`, and of its stress client.
    #[test]
    fn the_env_file_of_the_original_is_taken_as_it_is_shipped() {
        let config = with(&[
            ("PORT", "3000"),
            ("NODE_ENV", "development"),
            ("REDIS_HOST", "localhost"),
            ("REDIS_PORT", "6379"),
            ("REDIS_PASSWORD", ""),
            ("REDIS_CLUSTER_MODE", "false"),
            ("KAFKA_BROKERS", "localhost:9092"),
            ("KAFKA_CLIENT_ID", "flash-sale-api"),
            ("KAFKA_TOPIC_FLASH_SALE_ATTEMPTS", "flashsale.attempts"),
            ("KAFKA_CONSUMER_GROUP", "flash-sale-worker-group"),
            ("POSTGRES_HOST", "localhost"),
            ("POSTGRES_PORT", "5433"),
            ("POSTGRES_USER", "postgres1"),
            ("POSTGRES_PASSWORD", "postgres1"),
            ("POSTGRES_DB", "flash_sale"),
            ("FLASH_SALE_START_TIME", "2024-01-01T00:00:00Z"),
            ("FLASH_SALE_END_TIME", "2024-01-01T23:59:59Z"),
            ("FLASH_SALE_PRODUCT_ID", "flash-sale-product-001"),
            ("FLASH_SALE_TOTAL_STOCK", "1000"),
            ("JWT_SECRET", "your-secret-key-change-in-production"),
            ("JWT_EXPIRES_IN", "24h"),
            ("ENABLE_CONSUMER", "true"),
            ("STRESS_TEST_USERS", "100"),
            ("STRESS_TEST_CONCURRENT", "50"),
        ]);
        assert_eq!(config.unwrap().sale.product_sku, "FLASH-001");
    }

    #[test]
    fn origins_of_pages_are_taken_as_a_policy_spells_them() {
        let pages = with(&[
            ("PAGE_IMAGE_ORIGINS", "https: http://127.0.0.1:9000"),
            ("PAGE_FRAME_ANCESTORS", "'self' https://*.shop.example"),
        ]);
        let pages = pages.unwrap().server.pages;
        assert_eq!(pages.image_origins, ["https:", "http://127.0.0.1:9000"]);
        assert_eq!(pages.frame_ancestors, ["'self'", "https://*.shop.example"]);
        for wrong in [
            "shop.example",
            "https://a.example/path",
            "https://a.example;script-src",
            "https://a.example,https://b.example",
            "'unsafe-inline'",
            "https://",
            "*",
        ] {
            for setting in ["PAGE_IMAGE_ORIGINS", "PAGE_FRAME_ANCESTORS"] {
                let problems = with(&[(setting, wrong)]).unwrap_err();
                assert!(problems.0[0].contains(setting), "{wrong}: {problems}");
            }
        }
    }

    #[test]
    fn every_setting_has_a_variable_and_its_comment_names_it() {
        let defaults = super::super::sources::DEFAULTS;
        let (texts, problems) = Sources::default().texts();
        assert_eq!(problems, []);
        assert_eq!(texts.len(), VARIABLES.len());
        for (setting, names) in VARIABLES {
            assert!(texts.contains_key(*setting), "{setting}");
            let key = setting.split('.').nth(1).unwrap();
            for name in *names {
                let found = defaults
                    .lines()
                    .any(|line| line.starts_with(&format!("{key} =")) && line.contains(name));
                assert!(found, "{setting}: {name} is not in its comment");
            }
        }
    }

    #[test]
    fn all_problems_are_reported_at_once_by_the_variable_s_name() {
        let errors = with(&[
            ("PORT", "70000"),
            ("ENABLE_CONSUMER", "yes"),
            ("KAFKA_BROKERS", "kafka:nine"),
            ("JWT_EXPIRES_IN", "3600"),
            ("FLASH_SALE_START_TIME", "noon"),
            ("FRONTEND_URL", "shop.example"),
        ])
        .unwrap_err();
        let named = [
            "PORT",
            "ENABLE_CONSUMER",
            "KAFKA_BROKERS",
            "JWT_EXPIRES_IN",
            "FLASH_SALE_START_TIME",
            "FRONTEND_URL",
        ];
        assert_eq!(errors.0.len(), named.len(), "{errors}");
        for name in named {
            assert!(errors.to_string().contains(name), "{name} in {errors}");
        }
    }

    #[test]
    fn over_tls_the_ipv6_address_of_a_broker_is_refused() {
        let brokers = |tls| with(&[("KAFKA_BROKERS", "kafka,[::1]:9093"), ("KAFKA_TLS", tls)]);
        assert!(brokers("disable").is_ok());
        let refused = brokers("require").unwrap_err().to_string();
        assert!(refused.contains("KAFKA_BROKERS"), "{refused}");
        assert!(refused.contains("not as ::1"), "{refused}");
    }

    #[test]
    fn a_wrong_setting_stops_only_commands_that_use_it() {
        let variables = [
            ("FLASH_SALE_START_TIME", "noon"),
            ("PORT", "x"),
            ("JWT_EXPIRES_IN", "soon"),
        ];
        let sources = Sources {
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Sources::default()
        };
        let stopped_by = |used: &[&str]| match Config::load_for(&sources, used) {
            Ok((_, unused)) => (0, unused.len()),
            Err(errors) => (errors.0.len(), 0),
        };
        assert_eq!(stopped_by(&["postgres."]), (0, 3));
        assert_eq!(stopped_by(&["postgres.", "server."]), (1, 0));
        assert_eq!(stopped_by(&["sale.", "auth."]), (2, 0));
        assert_eq!(stopped_by(&["sale.result_ttl_secs"]), (0, 3));
        assert_eq!(stopped_by(&[""]), (3, 0));
        let missing = Sources {
            variables: [
                ("APP_ENV", "production"),
                ("POSTGRES_PASSWORD", "Kd93hSl-own"),
                ("REDIS_PASSWORD_FILE", "/nowhere"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..Sources::default()
        };
        let (_, unused) = Config::load_for(&missing, &["postgres.", "kafka."]).unwrap();
        assert!(
            unused.len() == 1 && unused[0].contains("REDIS_PASSWORD_FILE"),
            "a secret that is not needed is not missed: {unused:?}"
        );
        assert!(Config::load_for(&missing, &["postgres.", "redis."]).is_err());
        assert!(Config::load_for(&missing, &["postgres.", "auth."]).is_err());
        let unreadable = Sources {
            file: Some("/nowhere.toml".into()),
            ..Sources::default()
        };
        assert!(Config::load_for(&unreadable, &[]).is_err(), "all use it");
    }

    #[test]
    fn in_development_limits_by_address_do_not_apply_to_this_machine() {
        let loopback = |variables: &[(&str, &str)]| {
            let mut all = vec![
                ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
                ("POSTGRES_PASSWORD", "Kd93hSl-own"),
            ];
            all.extend(variables);
            with(&all).unwrap().limits.loopback
        };
        let production = ("APP_ENV", "production");
        assert!(!loopback(&[]) && loopback(&[production]));
        assert!(loopback(&[("LIMIT_LOOPBACK", "true")]));
        assert!(!loopback(&[production, ("LIMIT_LOOPBACK", "false")]));
    }

    #[test]
    fn trusted_proxies_are_networks_or_single_addresses() {
        let proxies = |text| with(&[("TRUSTED_PROXIES", text)]);
        let read = proxies("10.0.0.0/8, 192.0.2.7,fd00::/8 ,2001:db8::1")
            .unwrap()
            .server
            .trusted_proxies;
        let texts: Vec<_> = read.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "2001:db8::1/128"]
        );
        for wrong in ["balancer", "10.0.0.0/33", "10.0.0.0/8 192.0.2.7", "*"] {
            let problem = proxies(wrong).unwrap_err().to_string();
            assert!(problem.contains("TRUSTED_PROXIES"), "{problem}");
        }
        assert!(with(&[]).unwrap().server.trusted_proxies.is_empty());
    }

    #[test]
    fn secrets_do_not_show() {
        let config = with(&[
            ("POSTGRES_PASSWORD", "hunter22"),
            ("REDIS_PASSWORD", "hunter22"),
        ])
        .unwrap();
        assert!(!format!("{config:?}").contains("hunter22"));
    }

    #[test]
    fn secrets_keep_the_blanks_around_them_and_other_settings_do_not() {
        let blanks = " \t x \u{a0}";
        for setting in SECRETS {
            for name in VARIABLES
                .iter()
                .filter(|(known, _)| known == setting)
                .flat_map(|(_, names)| *names)
            {
                let value = |content: &str| {
                    let variables = [((*name).to_owned(), content.to_owned())].into();
                    let sources = Sources {
                        variables,
                        ..Sources::default()
                    };
                    sources.texts().0[*setting].clone()
                };
                assert_eq!(value(blanks), blanks, "{name}");
                assert_eq!(value(" x\r\n"), " x", "{name}");
            }
        }
        let config = with(&[("POSTGRES_PASSWORD", " x "), ("POSTGRES_USER", " x ")]).unwrap();
        assert_eq!(config.postgres.password.reveal(), " x ");
        assert_eq!(config.postgres.user, "x");
    }

    #[test]
    fn secrets_are_read_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("jwt"), "secret of a file\n").unwrap();
        std::fs::write(path("empty"), "\n").unwrap();
        let config = with(&[
            ("JWT_SECRET_FILE", &path("jwt")),
            ("POSTGRES_PASSWORD_FILE", &path("jwt")),
        ])
        .unwrap();
        assert_eq!(config.auth.jwt_secret.reveal(), "secret of a file");
        assert_eq!(config.postgres.password.reveal(), "secret of a file");
        for (variables, expected) in [
            (
                vec![("JWT_SECRET", "x"), ("JWT_SECRET_FILE", "/nowhere")],
                "JWT_SECRET and JWT_SECRET_FILE are both set",
            ),
            (
                vec![("REDIS_PASSWORD_FILE", "/nowhere")],
                "REDIS_PASSWORD_FILE: /nowhere cannot be read",
            ),
            (
                vec![("KAFKA_SASL_PASSWORD_FILE", path("empty").as_str())],
                "is empty",
            ),
        ] {
            let problem = with(&variables).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn in_production_the_certificate_of_a_server_on_another_machine_is_checked() {
        let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let mode = |variables: &[(&str, &str)]| {
            let mut all = vec![secret, ("POSTGRES_PASSWORD", "Kd93hSl-own")];
            all.extend(variables);
            with(&all).unwrap().postgres.tls.mode
        };
        let production = ("APP_ENV", "production");
        let remote = ("POSTGRES_HOST", "db.example");
        assert_eq!(mode(&[production, remote]), TlsMode::VerifyFull);
        assert_eq!(
            mode(&[production, ("POSTGRES_HOST", "127.0.0.1,db.example")]),
            TlsMode::VerifyFull
        );
        assert_eq!(mode(&[remote]), TlsMode::Disable);
        assert_eq!(
            mode(&[production, ("POSTGRES_HOST", "localhost")]),
            TlsMode::Disable
        );
        assert_eq!(
            mode(&[production, remote, ("POSTGRES_TLS", "disable")]),
            TlsMode::Disable
        );
        assert_eq!(
            mode(&[production, remote, ("POSTGRES_TLS", "require")]),
            TlsMode::Require
        );
    }

    #[test]
    fn the_connection_to_the_original_has_our_settings_unless_it_has_its_own() {
        let ours = with(&[("POSTGRES_PORT", "5432"), ("POSTGRES_USER", "shop")]).unwrap();
        let of = |config: &PostgresConfig| {
            let password = config.password.reveal().to_owned();
            (
                config.host.clone(),
                config.port,
                config.user.clone(),
                password,
            )
        };
        assert_eq!(of(&ours.original), of(&ours.postgres));
        let other = with(&[
            ("ORIGINAL_POSTGRES_HOST", "db.old"),
            ("ORIGINAL_POSTGRES_PORT", "5433"),
            ("ORIGINAL_POSTGRES_USER", "reader"),
            ("ORIGINAL_POSTGRES_PASSWORD", "secret"),
        ]);
        let expected = ("db.old".into(), 5433, "reader".into(), "secret".into());
        assert_eq!(of(&other.unwrap().original), expected);
    }

    #[test]
    fn the_certificate_of_the_originals_server_is_checked_as_ours_is() {
        let mode = |host, tls| {
            let config = with(&[
                ("APP_ENV", "production"),
                ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
                ("POSTGRES_PASSWORD", "Kd93hSl-own"),
                ("ORIGINAL_POSTGRES_HOST", host),
                ("POSTGRES_TLS", tls),
            ]);
            let config = config.unwrap();
            (config.postgres.tls.mode, config.original.tls.mode)
        };
        let local = TlsMode::Disable;
        for host in ["127.0.0.1:5433", "[::1]:5433", "localhost,[::1]", "/run/x"] {
            assert_eq!(mode(host, "auto"), (local, local), "{host}");
        }
        for host in ["db.old", "127.0.0.1,db.old:5433"] {
            assert_eq!(mode(host, "auto"), (local, TlsMode::VerifyFull), "{host}");
            assert_eq!(mode(host, "disable"), (local, local), "{host}");
            let require = TlsMode::Require;
            assert_eq!(mode(host, "require"), (require, require), "{host}");
        }
        let wrong = with(&[("ORIGINAL_POSTGRES_HOST", "db"), ("POSTGRES_TLS", "yes")]);
        assert_eq!(wrong.unwrap_err().0.len(), 1, "it is told once");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(with(&[("PORT", "")]).unwrap().server.port, 3000);
    }
}
