//! From texts to a [`Config`], with every check; nothing stops at the first problem.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    AuthConfig, Config, ConfigErrors, KafkaConfig, PostgresConfig, RedisConfig, SaleConfig,
    SaslConfig, SaslMechanism, Secret, ServerConfig, Sources, TelemetryConfig, VARIABLES,
    WorkerConfig,
};

/// The secret that everybody knows, since it is the default.
const KNOWN_SECRET: &str = "your-secret-key-change-in-production";
/// RFC 7518, section 3.2: a key of at least the size of the hash.
const SECRET_BYTES: usize = 32;
/// The original's example configuration names a product that its own data does not have.
const ORIGINAL_PLACEHOLDER_PRODUCT: &str = "flash-sale-product-001";
const DEFAULT_SKU: &str = "FLASH-001";

pub(super) fn config(sources: &Sources) -> Result<Config, ConfigErrors> {
    let (texts, problems) = sources.texts();
    let mut read = Reader { texts, problems };
    let production = read.choice(
        "server.environment",
        &[("development", false), ("production", true)],
    );
    let config = Config {
        server: server(&mut read),
        log: TelemetryConfig {
            level: read.log_level("log.level"),
            json: read.choice("log.format", &[("text", false), ("json", true)]),
        },
        redis: redis(&mut read),
        kafka: kafka(&mut read),
        postgres: postgres(&mut read),
        auth: auth(&mut read, production),
        sale: sale(&mut read),
        worker: worker(&mut read),
    };
    if read.problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors(read.problems))
    }
}

fn server(read: &mut Reader) -> ServerConfig {
    ServerConfig {
        host: read.required("server.host"),
        port: read.number("server.port", 0..=u16::MAX),
        frontend_origins: read.origins("server.frontend_url"),
        http_threads: read.number("server.http_threads", 0..=1024),
        max_connections: read.number("server.max_connections", 1..=1_000_000),
        request_timeout: read.millis("server.request_timeout_ms", 100..=600_000),
        shutdown_timeout: read.secs("server.shutdown_timeout_secs", 1..=3_600),
        startup_timeout: read.secs("server.startup_timeout_secs", 1..=3_600),
    }
}

fn redis(read: &mut Reader) -> RedisConfig {
    RedisConfig {
        host: read.required("redis.host"),
        port: read.number("redis.port", 1..=u16::MAX),
        username: read.optional("redis.username"),
        password: read.optional("redis.password").map(Secret::new),
        cluster_mode: read.flag("redis.cluster_mode"),
        command_timeout: read.millis("redis.command_timeout_ms", 50..=60_000),
    }
}

fn kafka(read: &mut Reader) -> KafkaConfig {
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
    KafkaConfig {
        brokers: read.brokers("kafka.brokers"),
        client_id: read.required("kafka.client_id"),
        topic,
        dead_letter_topic,
        consumer_group: read.required("kafka.consumer_group"),
        partitions: read.number("kafka.partitions", 1..=10_000),
        replication_factor: read.number("kafka.replication_factor", 1..=100),
        append_timeout: read.millis("kafka.append_timeout_ms", 50..=60_000),
        tls: read.flag("kafka.tls"),
        ca_file: read.optional("kafka.ca_file"),
        sasl: sasl(read),
    }
}

fn sasl(read: &mut Reader) -> Option<SaslConfig> {
    read.optional("kafka.sasl_mechanism")?;
    Some(SaslConfig {
        mechanism: read.choice(
            "kafka.sasl_mechanism",
            &[
                ("PLAIN", SaslMechanism::Plain),
                ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
                ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
            ],
        ),
        username: read.required("kafka.sasl_username"),
        password: Secret::new(read.required("kafka.sasl_password")),
    })
}

fn postgres(read: &mut Reader) -> PostgresConfig {
    PostgresConfig {
        host: read.required("postgres.host"),
        port: read.number("postgres.port", 1..=u16::MAX),
        user: read.required("postgres.user"),
        password: Secret::new(read.text("postgres.password")),
        database: read.required("postgres.database"),
        pool_size: read.number("postgres.pool_size", 2..=10_000),
        pool_timeout: read.millis("postgres.pool_timeout_ms", 50..=60_000),
        statement_timeout: read.millis("postgres.statement_timeout_ms", 100..=600_000),
    }
}

fn auth(read: &mut Reader, production: bool) -> AuthConfig {
    let jwt_secret = read.required("auth.jwt_secret");
    if production && jwt_secret == KNOWN_SECRET {
        read.problem(
            "auth.jwt_secret",
            "is the default, which everybody knows; production needs one of its own",
        );
    } else if production && jwt_secret.len() < SECRET_BYTES {
        read.problem(
            "auth.jwt_secret",
            &format!("must have {SECRET_BYTES} bytes or more in production"),
        );
    }
    AuthConfig {
        jwt_secret: Secret::new(jwt_secret),
        token_ttl: read.lifetime("auth.jwt_expires_in"),
        password_memory_kib: read.number("auth.password_memory_kib", 8..=4_194_304),
        password_passes: read.number("auth.password_passes", 1..=100),
        password_threads: read.number("auth.password_threads", 0..=1024),
        password_queue: read.number("auth.password_queue", 1..=100_000),
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
    WorkerConfig {
        enabled: read.flag("worker.enabled"),
        host: read.required("worker.host"),
        port: Some(read.number("worker.port", 0..=u16::MAX)).filter(|port| *port != 0),
        lease: read.secs("worker.lease_secs", 1..=3_600),
        pending_age: read.secs("worker.pending_age_secs", 1..=3_600),
    }
}

/// Hands out settings and gathers what is wrong with them. A wrong one reads as some valid value, never to be used.
struct Reader {
    texts: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Reader {
    /// Adds a problem, named as the operator knows the setting.
    fn problem(&mut self, setting: &str, what: &str) {
        let names = VARIABLES
            .iter()
            .find(|(name, _)| *name == setting)
            .map_or(&[][..], |(_, names)| names);
        self.problems
            .push(format!("  {} ({setting}) {what}", names.join(" or ")));
    }

    fn text(&self, setting: &str) -> String {
        self.texts.get(setting).cloned().unwrap_or_default()
    }

    fn optional(&self, setting: &str) -> Option<String> {
        Some(self.text(setting)).filter(|text| !text.is_empty())
    }

    fn required(&mut self, setting: &str) -> String {
        self.optional(setting).unwrap_or_else(|| {
            self.problem(setting, "must not be empty");
            String::new()
        })
    }

    fn number<N>(&mut self, setting: &str, range: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        match self.text(setting).parse::<N>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let what = format!(
                    "must be a whole number from {} to {}, not {:?}",
                    range.start(),
                    range.end(),
                    self.text(setting)
                );
                self.problem(setting, &what);
                *range.start()
            }
        }
    }

    fn millis(&mut self, setting: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(setting, range))
    }

    fn secs(&mut self, setting: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(setting, range))
    }

    fn flag(&mut self, setting: &str) -> bool {
        self.choice(setting, &[("true", true), ("false", false)])
    }

    fn choice<T: Copy>(&mut self, setting: &str, choices: &[(&str, T)]) -> T {
        let text = self.text(setting);
        let chosen = choices
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(
                setting,
                &format!("must be one of {}, not {text:?}", names.join(", ")),
            );
        }
        #[allow(clippy::indexing_slicing)] // the choices are literals in this file
        chosen.unwrap_or(&choices[0]).1
    }

    fn log_level(&mut self, setting: &str) -> String {
        let level = self.required(setting);
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
            self.problem(setting, &format!("is not a log level: {error}"));
        }
        level
    }

    /// A lifetime with its unit. A bare number is refused: libraries disagree whether it means seconds or milliseconds.
    fn lifetime(&mut self, setting: &str) -> Duration {
        let text = self.text(setting);
        match humantime::parse_duration(&text) {
            Ok(lifetime)
                if lifetime >= Duration::from_secs(1)
                    && !text.bytes().all(|b| b.is_ascii_digit()) =>
            {
                lifetime
            }
            _ => {
                self.problem(
                    setting,
                    &format!("must be a time with its unit, as 1h, 24h or 7d, not {text:?}"),
                );
                Duration::from_secs(1)
            }
        }
    }

    fn instant(&mut self, setting: &str) -> Option<DateTime<Utc>> {
        let text = self.optional(setting)?;
        let instant = DateTime::parse_from_rfc3339(&text).ok();
        if instant.is_none() {
            self.problem(
                setting,
                &format!("must be a time as in 2026-01-01T12:00:00Z, not {text:?}"),
            );
        }
        instant.map(|instant| instant.to_utc())
    }

    /// Kafka's rule for topic names.
    fn topic(&mut self, setting: &str) -> String {
        let topic = self.required(setting);
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if topic.len() > 249 || !topic.bytes().all(legal) || topic == "." || topic == ".." {
            self.problem(setting, "must be a Kafka topic name: up to 249 letters, digits, dots, dashes and underscores");
        }
        topic
    }

    fn brokers(&mut self, setting: &str) -> Vec<String> {
        let brokers = self.list(setting);
        let legal = |broker: &String| {
            broker.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty()
                    && !host.contains('/')
                    && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if brokers.is_empty() || !brokers.iter().all(legal) {
            let what = format!(
                "must be host:port, comma-separated, not {:?}",
                self.text(setting)
            );
            self.problem(setting, &what);
        }
        brokers
    }

    fn origins(&mut self, setting: &str) -> Vec<String> {
        let origins = self.list(setting);
        let legal = |origin: &String| {
            origin == "*"
                || origin
                    .strip_prefix("https://")
                    .or_else(|| origin.strip_prefix("http://"))
                    .is_some_and(|host| !host.is_empty() && !host.contains('/'))
        };
        if !origins.iter().all(legal) {
            let what = format!(
                "must be origins as in https://shop.example, without a path, comma-separated, not {:?}",
                self.text(setting)
            );
            self.problem(setting, &what);
        }
        origins
    }

    fn list(&self, setting: &str) -> Vec<String> {
        let text = self.text(setting);
        // Browsers send origins without a trailing slash; people write one.
        text.split(',')
            .map(|item| item.trim().trim_end_matches('/').to_owned())
            .filter(|i| !i.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Config::load(&Sources {
            file: None,
            variables,
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

    #[test]
    fn every_setting_has_a_variable_and_its_comment_names_it() {
        let defaults = super::super::sources::DEFAULTS;
        let (texts, problems) = Sources::default().texts();
        assert_eq!(problems, Vec::<String>::new());
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
            ("KAFKA_BROKERS", "kafka"),
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
    fn production_refuses_a_known_or_a_short_secret() {
        for name in ["NODE_ENV", "APP_ENV"] {
            let known = with(&[(name, "production")]).unwrap_err().to_string();
            assert!(
                known.contains("JWT_SECRET") && known.contains("default"),
                "{known}"
            );
            let short = with(&[
                (name, "production"),
                ("JWT_SECRET", "0123456789012345678901234567890"),
            ])
            .unwrap_err();
            assert!(short.to_string().contains("32 bytes"), "{short}");
            assert!(
                !short.to_string().contains("0123456789"),
                "a secret shows in {short}"
            );
            assert!(
                with(&[
                    (name, "production"),
                    ("JWT_SECRET", "01234567890123456789012345678901")
                ])
                .is_ok()
            );
        }
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
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(with(&[("PORT", "")]).unwrap().server.port, 3000);
    }
}
