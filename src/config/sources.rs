//! Where settings come from: the defaults, a file laid over them, `.env`, the environment.
//!
//! Texts only; what they mean is `read`'s.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::ConfigErrors;

/// The defaults, with an explanation of every setting.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Every setting and the environment variables that override it; the first one that is set wins.
pub const VARIABLES: &[(&str, &[&str])] = &[
    ("server.environment", &["APP_ENV", "NODE_ENV"]),
    ("server.host", &["HOST"]),
    ("server.port", &["PORT"]),
    ("server.frontend_url", &["FRONTEND_URL"]),
    ("server.api_docs", &["API_DOCS"]),
    ("server.original_status_codes", &["ORIGINAL_STATUS_CODES"]),
    ("server.http_threads", &["HTTP_THREADS"]),
    ("server.max_connections", &["MAX_CONNECTIONS"]),
    (
        "server.max_connections_per_network",
        &["MAX_CONNECTIONS_PER_NETWORK"],
    ),
    ("server.max_buffered_mib", &["MAX_BUFFERED_MIB"]),
    ("server.metrics_host", &["METRICS_HOST"]),
    ("server.metrics_port", &["METRICS_PORT"]),
    ("server.keep_alive_secs", &["KEEP_ALIVE_SECS"]),
    ("server.stall_timeout_secs", &["STALL_TIMEOUT_SECS"]),
    ("server.trusted_proxies", &["TRUSTED_PROXIES"]),
    ("server.request_timeout_ms", &["REQUEST_TIMEOUT_MS"]),
    ("server.drain_delay_secs", &["DRAIN_DELAY_SECS"]),
    ("server.shutdown_timeout_secs", &["SHUTDOWN_TIMEOUT_SECS"]),
    ("server.startup_timeout_secs", &["STARTUP_TIMEOUT_SECS"]),
    ("server.settlement_lag_secs", &["SETTLEMENT_LAG_SECS"]),
    ("log.level", &["LOG_LEVEL"]),
    ("log.format", &["LOG_FORMAT"]),
    ("redis.host", &["REDIS_HOST"]),
    ("redis.port", &["REDIS_PORT"]),
    ("redis.username", &["REDIS_USERNAME"]),
    ("redis.password", &["REDIS_PASSWORD"]),
    ("redis.cluster_mode", &["REDIS_CLUSTER_MODE"]),
    ("redis.sentinels", &["REDIS_SENTINELS"]),
    ("redis.sentinel_master", &["REDIS_SENTINEL_MASTER"]),
    ("redis.sentinel_username", &["REDIS_SENTINEL_USERNAME"]),
    ("redis.sentinel_password", &["REDIS_SENTINEL_PASSWORD"]),
    ("redis.tls", &["REDIS_TLS"]),
    ("redis.ca_file", &["REDIS_CA_FILE"]),
    ("redis.cert_file", &["REDIS_CERT_FILE"]),
    ("redis.key_file", &["REDIS_KEY_FILE"]),
    ("redis.command_timeout_ms", &["REDIS_COMMAND_TIMEOUT_MS"]),
    ("kafka.brokers", &["KAFKA_BROKERS"]),
    ("kafka.client_id", &["KAFKA_CLIENT_ID"]),
    ("kafka.topic", &["KAFKA_TOPIC_FLASH_SALE_ATTEMPTS"]),
    ("kafka.dead_letter_topic", &["KAFKA_TOPIC_DEAD_LETTERS"]),
    ("kafka.consumer_group", &["KAFKA_CONSUMER_GROUP"]),
    ("kafka.partitions", &["KAFKA_PARTITIONS"]),
    ("kafka.replication_factor", &["KAFKA_REPLICATION_FACTOR"]),
    ("kafka.append_timeout_ms", &["KAFKA_APPEND_TIMEOUT_MS"]),
    ("kafka.tls", &["KAFKA_TLS"]),
    ("kafka.ca_file", &["KAFKA_CA_FILE"]),
    ("kafka.cert_file", &["KAFKA_CERT_FILE"]),
    ("kafka.key_file", &["KAFKA_KEY_FILE"]),
    ("kafka.sasl_mechanism", &["KAFKA_SASL_MECHANISM"]),
    ("kafka.sasl_username", &["KAFKA_SASL_USERNAME"]),
    ("kafka.sasl_password", &["KAFKA_SASL_PASSWORD"]),
    ("kafka.sasl_token_file", &["KAFKA_SASL_TOKEN_FILE"]),
    ("postgres.host", &["POSTGRES_HOST"]),
    ("postgres.port", &["POSTGRES_PORT"]),
    ("postgres.tls", &["POSTGRES_TLS"]),
    ("postgres.pooler", &["POSTGRES_POOLER"]),
    ("postgres.ca_file", &["POSTGRES_CA_FILE"]),
    ("postgres.cert_file", &["POSTGRES_CERT_FILE"]),
    ("postgres.key_file", &["POSTGRES_KEY_FILE"]),
    ("postgres.user", &["POSTGRES_USER"]),
    ("postgres.password", &["POSTGRES_PASSWORD"]),
    ("postgres.database", &["POSTGRES_DB"]),
    ("postgres.pool_size", &["POSTGRES_POOL_SIZE"]),
    ("postgres.pool_timeout_ms", &["POSTGRES_POOL_TIMEOUT_MS"]),
    (
        "postgres.statement_timeout_ms",
        &["POSTGRES_STATEMENT_TIMEOUT_MS"],
    ),
    ("original.host", &["ORIGINAL_POSTGRES_HOST"]),
    ("original.port", &["ORIGINAL_POSTGRES_PORT"]),
    ("original.user", &["ORIGINAL_POSTGRES_USER"]),
    ("original.password", &["ORIGINAL_POSTGRES_PASSWORD"]),
    ("embedded.data_dir", &["FLASHSALE_DATA_DIR"]),
    ("auth.jwt_secret", &["JWT_SECRET"]),
    ("auth.jwt_expires_in", &["JWT_EXPIRES_IN"]),
    ("auth.password_memory_kib", &["PASSWORD_MEMORY_KIB"]),
    ("auth.password_passes", &["PASSWORD_PASSES"]),
    ("auth.password_threads", &["PASSWORD_THREADS"]),
    ("auth.password_queue", &["PASSWORD_QUEUE"]),
    ("limits.logins_per_address", &["LIMIT_LOGINS_PER_ADDRESS"]),
    (
        "limits.failed_logins_per_account",
        &["LIMIT_FAILED_LOGINS_PER_ACCOUNT"],
    ),
    (
        "limits.registrations_per_address",
        &["LIMIT_REGISTRATIONS_PER_ADDRESS"],
    ),
    (
        "limits.registrations_per_account",
        &["LIMIT_REGISTRATIONS_PER_ACCOUNT"],
    ),
    ("limits.attempts_per_user", &["LIMIT_ATTEMPTS_PER_USER"]),
    (
        "limits.attempts_per_address",
        &["LIMIT_ATTEMPTS_PER_ADDRESS"],
    ),
    ("limits.loopback", &["LIMIT_LOOPBACK"]),
    ("sale.start_time", &["FLASH_SALE_START_TIME"]),
    ("sale.end_time", &["FLASH_SALE_END_TIME"]),
    ("sale.product_id", &["FLASH_SALE_PRODUCT_ID"]),
    ("sale.total_stock", &["FLASH_SALE_TOTAL_STOCK"]),
    ("sale.result_ttl_secs", &["FLASH_SALE_RESULT_TTL_SECS"]),
    ("worker.enabled", &["ENABLE_CONSUMER"]),
    ("worker.host", &["WORKER_HOST"]),
    ("worker.port", &["WORKER_PORT"]),
    ("worker.lease_secs", &["WORKER_LEASE_SECS"]),
    ("worker.pending_age_secs", &["WORKER_PENDING_AGE_SECS"]),
    ("operator.name", &["FLASHSALE_OPERATOR", "LOGNAME", "USER"]),
    ("stress.users", &["STRESS_TEST_USERS"]),
    ("stress.concurrent", &["STRESS_TEST_CONCURRENT"]),
    ("stress.base_url", &["API_BASE_URL"]),
];

/// The settings that are secrets: each of their variables can be given as the name of a file, in a variable with `_FILE` at
/// its end, as `JWT_SECRET_FILE=/run/secrets/jwt`.
pub const SECRETS: &[&str] = &[
    "redis.password",
    "redis.sentinel_password",
    "kafka.sasl_password",
    "postgres.password",
    "original.password",
    "auth.jwt_secret",
];

/// A file to lay over the defaults and the variables to lay over both.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub variables: BTreeMap<String, String>,
    /// What is about to be done with the configuration, as far as production refuses it.
    pub intent: Intent,
}

/// What a command does that decides which settings matter in production.
#[derive(Debug, Clone, Copy, Default)]
pub struct Intent {
    /// It uses no server: what production refuses about the servers' settings is of no account.
    pub embedded: bool,
    /// It makes accounts whose passwords everybody knows.
    pub demo_accounts: bool,
}

impl Sources {
    /// This process's environment; in development `.env` of the working directory below it.
    ///
    /// `file` comes from the command line; without one, from `FLASHSALE_CONFIG`.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn of_process(file: Option<PathBuf>) -> Result<Self, ConfigErrors> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let production = ["APP_ENV", "NODE_ENV"]
            .iter()
            .filter_map(|name| environment.get(*name))
            .find(|value| !value.is_empty())
            .is_some_and(|value| value == "production");
        let mut variables = BTreeMap::new();
        if !production && Path::new(".env").exists() {
            let problem = |error: dotenvy::Error| ConfigErrors(vec![format!(".env: {error}")]);
            for line in dotenvy::from_path_iter(".env").map_err(problem)? {
                let (name, value) = line.map_err(problem)?;
                variables.insert(name, value);
            }
        }
        variables.extend(
            environment
                .into_iter()
                .filter(|(_, value)| !value.is_empty()),
        );
        let file = file.or_else(|| variables.get("FLASHSALE_CONFIG").map(PathBuf::from));
        Ok(Self {
            file,
            variables,
            intent: Intent::default(),
        })
    }

    /// The text of every setting by its name in the file, and every problem on the way there.
    pub(super) fn texts(&self) -> (BTreeMap<String, String>, Vec<String>) {
        let mut texts = BTreeMap::new();
        let mut problems = Vec::new();
        lay(
            &mut texts,
            DEFAULTS,
            "config/default.toml",
            true,
            &mut problems,
        );
        if let Some(path) = &self.file {
            match std::fs::read_to_string(path) {
                Ok(content) => lay(
                    &mut texts,
                    &content,
                    &path.display().to_string(),
                    false,
                    &mut problems,
                ),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        for (setting, names) in VARIABLES {
            let value = names
                .iter()
                .filter_map(|name| self.variables.get(*name))
                .find(|value| !value.is_empty());
            if let Some(value) = value {
                texts.insert((*setting).to_owned(), value.trim().to_owned());
            }
            if SECRETS.contains(setting) {
                for name in *names {
                    match self.secret_of_file(name, value.is_some()) {
                        Ok(Some(secret)) => drop(texts.insert((*setting).to_owned(), secret)),
                        Ok(None) => {}
                        Err(problem) => problems.push(format!("  {problem}")),
                    }
                }
            }
        }
        (texts, problems)
    }

    /// The content of the file that `<name>_FILE` names, without the line break at its end. No content is ever in a problem.
    fn secret_of_file(&self, name: &str, is_set: bool) -> Result<Option<String>, String> {
        let variable = format!("{name}_FILE");
        let Some(path) = self
            .variables
            .get(&variable)
            .filter(|path| !path.is_empty())
        else {
            return Ok(None);
        };
        if is_set {
            return Err(format!(
                "{name} and {variable} are both set; set one of them"
            ));
        }
        let content = std::fs::read_to_string(path)
            .map_err(|error| format!("{variable}: {path} cannot be read: {}", error.kind()))?;
        let secret = content.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(format!("{variable}: {path} is empty"));
        }
        Ok(Some(secret.to_owned()))
    }
}

/// Lays a TOML text over what is there. Only the defaults may add settings.
fn lay(
    texts: &mut BTreeMap<String, String>,
    toml: &str,
    origin: &str,
    adds: bool,
    problems: &mut Vec<String>,
) {
    let table = match toml.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => return problems.push(format!("{origin}: {}", error.message())),
    };
    for (section, content) in table {
        let toml::Value::Table(settings) = content else {
            problems.push(format!("{origin}: {section} must be a [section]"));
            continue;
        };
        for (name, value) in settings {
            let setting = format!("{section}.{name}");
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => {
                    problems.push(format!(
                        "{origin}: {setting} must be a text, a whole number, true or false"
                    ));
                    continue;
                }
            };
            if adds || texts.contains_key(&setting) {
                texts.insert(setting, text);
            } else {
                problems.push(format!("{origin}: there is no setting {setting}"));
            }
        }
    }
}
