//! The sources of settings, where each overrides those before it: the defaults, a file, `.env`, the environment.
//!
//! This module handles texts only; `read` converts them to values.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::{ConfigErrors, env_file};

/// The name of the file, which is in the working directory.
const ENV_FILE: &str = ".env";
/// Largest size of a configuration file, in bytes: far more than all settings together take.
const FILE_BYTES: u64 = 1024 * 1024;
/// Largest size of a file with a secret, in bytes.
const SECRET_FILE_BYTES: u64 = 64 * 1024;
/// Largest size of a setting's text, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

/// The defaults, with an explanation of every setting.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Every setting and the environment variables that override it; the first one that is set wins.
pub const VARIABLES: &[(&str, &[&str])] = &[
    ("server.environment", &["APP_ENV", "NODE_ENV"]),
    ("server.host", &["HOST"]),
    ("server.port", &["PORT"]),
    ("server.frontend_url", &["FRONTEND_URL"]),
    ("server.api_docs", &["API_DOCS"]),
    ("server.shop_page", &["SHOP_PAGE"]),
    ("server.admin_page", &["ADMIN_PAGE"]),
    ("server.page_image_origins", &["PAGE_IMAGE_ORIGINS"]),
    ("server.page_frame_ancestors", &["PAGE_FRAME_ANCESTORS"]),
    ("server.original_status_codes", &["ORIGINAL_STATUS_CODES"]),
    ("server.http_threads", &["HTTP_THREADS"]),
    ("server.max_connections", &["MAX_CONNECTIONS"]),
    (
        "server.max_connections_per_network",
        &["MAX_CONNECTIONS_PER_NETWORK"],
    ),
    ("server.max_listeners", &["MAX_LISTENERS"]),
    (
        "server.max_listeners_per_network",
        &["MAX_LISTENERS_PER_NETWORK"],
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
    ("server.ready_without_ledger", &["READY_WITHOUT_LEDGER"]),
    ("server.passwords_in_clear", &["ALLOW_PASSWORDS_IN_CLEAR"]),
    ("log.level", &["LOG_LEVEL"]),
    ("log.format", &["LOG_FORMAT"]),
    ("trace.otlp_endpoint", &["OTLP_ENDPOINT"]),
    ("trace.sample_ratio", &["TRACE_SAMPLE_RATIO"]),
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
    ("kafka.events_topic", &["KAFKA_TOPIC_EVENTS"]),
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
    ("auth.jwt_secret_previous", &["JWT_SECRET_PREVIOUS"]),
    ("auth.jwt_expires_in", &["JWT_EXPIRES_IN"]),
    ("auth.password_memory_kib", &["PASSWORD_MEMORY_KIB"]),
    ("auth.password_passes", &["PASSWORD_PASSES"]),
    ("auth.password_threads", &["PASSWORD_THREADS"]),
    ("auth.password_queue", &["PASSWORD_QUEUE"]),
    ("auth.password_blocklist", &["PASSWORD_BLOCKLIST"]),
    ("external.local_accounts", &["LOCAL_ACCOUNTS"]),
    ("external.issuer", &["EXTERNAL_ISSUER"]),
    ("external.audience", &["EXTERNAL_AUDIENCE"]),
    ("external.jwks_url", &["EXTERNAL_JWKS_URL"]),
    ("external.algorithms", &["EXTERNAL_ALGORITHMS"]),
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
    ("events.enabled", &["EVENTS_ENABLED"]),
    ("events.retention_days", &["EVENTS_RETENTION_DAYS"]),
    (
        "events.webhooks_to_private_networks",
        &["EVENTS_WEBHOOKS_TO_PRIVATE_NETWORKS"],
    ),
    ("operator.name", &["FLASHSALE_OPERATOR", "LOGNAME", "USER"]),
    ("stress.users", &["STRESS_TEST_USERS"]),
    ("stress.concurrent", &["STRESS_TEST_CONCURRENT"]),
    ("stress.base_url", &["API_BASE_URL"]),
];

/// The settings that are secrets. Each can also be read from a file that a variable with the suffix `_FILE` names, as in
/// `JWT_SECRET_FILE=/run/secrets/jwt`.
pub const SECRETS: &[&str] = &[
    "redis.password",
    "redis.sentinel_password",
    "kafka.sasl_password",
    "postgres.password",
    "original.password",
    "auth.jwt_secret",
    "auth.jwt_secret_previous",
];

/// A file that overrides the defaults, and variables that override both.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub variables: BTreeMap<String, String>,
    /// The properties of the command that is about to run.
    pub intent: Intent,
}

/// The properties of a command that decide which checks apply to it in production.
#[derive(Debug, Clone, Copy, Default)]
pub struct Intent {
    /// The command uses no server: the checks of the servers' settings do not apply.
    pub embedded: bool,
    /// The command creates accounts with known passwords.
    pub demo_accounts: bool,
}

/// A problem of reading the sources, with the setting that it concerns. With `None`, it concerns all.
pub(super) type SourceProblem = (Option<String>, String);

impl Sources {
    /// The environment of this process. In development, `.env` in the working directory is read too, and the environment
    /// overrides it.
    ///
    /// `file` is the argument of the command line. If it is `None`, the variable `FLASHSALE_CONFIG` names the file.
    #[allow(clippy::disallowed_methods)] // only this function may read the environment
    pub fn of_process(file: Option<PathBuf>) -> Result<Self, ConfigErrors> {
        let mut environment = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => drop(environment.insert(name, value)),
                Err(_) if is_ours(&name) => problems.push(format!("  {name} is not UTF-8")),
                Err(_) => {}
            }
        }
        let named = environment.get("FLASHSALE_CONFIG").map(PathBuf::from);
        let mut variables = BTreeMap::new();
        if !is_production(&environment, file.as_deref().or(named.as_deref())) {
            match read_bounded(Path::new(ENV_FILE), FILE_BYTES) {
                Ok(content) => {
                    let (in_file, line_problems) = env_file::read(&content, ENV_FILE, is_ours);
                    variables.extend(in_file);
                    problems.extend(line_problems);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => problems.push(format!("  {ENV_FILE}: {error}")),
            }
        }
        if !problems.is_empty() {
            return Err(ConfigErrors(problems));
        }
        variables.extend(environment);
        let file = file.or_else(|| variables.get("FLASHSALE_CONFIG").map(PathBuf::from));
        Ok(Self {
            file,
            variables,
            intent: Intent::default(),
        })
    }

    /// The text of every setting, by its name in the file, and the problems of reading the sources.
    pub(super) fn texts(&self) -> (BTreeMap<String, String>, Vec<SourceProblem>) {
        let mut texts = BTreeMap::new();
        let mut problems = Vec::new();
        let mut of_settings = Vec::new();
        overlay(
            &mut texts,
            DEFAULTS,
            "config/default.toml",
            true,
            &mut problems,
        );
        if let Some(path) = &self.file {
            let origin = path.display().to_string();
            match read_bounded(path, FILE_BYTES).map(String::from_utf8) {
                Ok(Ok(content)) => overlay(&mut texts, &content, &origin, false, &mut problems),
                Ok(Err(_)) => problems.push(format!("  {origin} is not UTF-8")),
                Err(error) => problems.push(format!("  {origin}: {error}")),
            }
        }
        for (setting, names) in VARIABLES {
            let value = names
                .iter()
                .filter_map(|name| self.variables.get(*name))
                .find(|value| !value.is_empty());
            if let Some(value) = value {
                // A password may begin and end with blanks, so they are kept. Line breaks at its end are removed, as from a file.
                let text = if SECRETS.contains(setting) {
                    value.trim_end_matches(['\r', '\n'])
                } else {
                    value.trim()
                };
                texts.insert((*setting).to_owned(), text.to_owned());
            }
            if SECRETS.contains(setting) {
                for name in *names {
                    match self.secret_of_file(name, value.is_some()) {
                        Ok(Some(secret)) => drop(texts.insert((*setting).to_owned(), secret)),
                        Ok(None) => {}
                        Err(problem) => {
                            of_settings.push((Some((*setting).to_owned()), format!("  {problem}")));
                        }
                    }
                }
            }
        }
        for (setting, text) in &mut texts {
            if text.len() > TEXT_BYTES || text.contains('\0') {
                let problem = format!(
                    "  {setting} is longer than {TEXT_BYTES} bytes, or has a NUL character"
                );
                of_settings.push((Some(setting.clone()), problem));
                text.clear();
            }
        }
        let problems = problems.into_iter().map(|problem| (None, problem));
        (texts, problems.chain(of_settings).collect())
    }

    /// The content of the file that `<name>_FILE` names, without line breaks at its end. Problems do not show the content.
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
        let content = read_bounded(Path::new(path), SECRET_FILE_BYTES)
            .map_err(|error| format!("{variable}: {path} cannot be read: {}", error.kind()))?;
        let content =
            String::from_utf8(content).map_err(|_| format!("{variable}: {path} is not UTF-8"))?;
        let secret = content.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(format!("{variable}: {path} is empty"));
        }
        Ok(Some(secret.to_owned()))
    }
}

/// True for a variable that this program reads, except for LOGNAME and USER, which other programs set and read too.
fn is_ours(name: &str) -> bool {
    let is_variable = |name: &str| {
        VARIABLES
            .iter()
            .any(|(_, names)| names.contains(&name) && !["LOGNAME", "USER"].contains(&name))
    };
    name == "FLASHSALE_CONFIG"
        || is_variable(name)
        || name.strip_suffix("_FILE").is_some_and(is_variable)
}

/// Whether this is production, according to the environment or, if it has no such variable, the file. Upper case is accepted too:
/// in production, a `.env` that a developer left behind must not be read.
fn is_production(environment: &BTreeMap<String, String>, file: Option<&Path>) -> bool {
    let environment_name = ["APP_ENV", "NODE_ENV"]
        .iter()
        .find_map(|name| {
            environment
                .get(*name)
                .filter(|value| !value.trim().is_empty())
        })
        .cloned();
    let of_file = || {
        let content = String::from_utf8(read_bounded(file?, FILE_BYTES).ok()?).ok()?;
        let table = content.parse::<toml::Table>().ok()?;
        let environment_name = table.get("server")?.get("environment")?.as_str()?;
        Some(environment_name.to_owned())
    };
    environment_name
        .or_else(of_file)
        .is_some_and(|environment_name| environment_name.trim().eq_ignore_ascii_case("production"))
}

/// Reads a file of at most `max_bytes`. A larger one is an error, also one without an end, such as /dev/zero.
fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("is larger than {max_bytes} bytes"),
        ));
    }
    Ok(content)
}

/// The position of a syntax error in a TOML text: the line, and the setting if its name is known. The parser's own message is not
/// used, because it shows the content of the line.
fn error_position(toml: &str, at: usize) -> String {
    let before = toml.get(..at).unwrap_or(toml);
    let number = before.matches('\n').count() + 1;
    let lines: Vec<&str> = toml.lines().take(number).collect();
    let section = lines.iter().rev().find_map(|line| {
        let section = line.trim().strip_prefix('[')?;
        section.split(']').next()
    });
    let name = lines
        .last()
        .and_then(|line| line.split('=').next())
        .unwrap_or_default()
        .trim();
    let setting = format!("{}.{name}", section.unwrap_or_default().trim());
    if VARIABLES.iter().any(|(known, _)| *known == setting) {
        format!("line {number}, at {setting},")
    } else {
        format!("line {number}")
    }
}

/// Overrides `texts` with the settings of a TOML text. Only the defaults may add settings (`adds`).
fn overlay(
    texts: &mut BTreeMap<String, String>,
    toml: &str,
    origin: &str,
    adds: bool,
    problems: &mut Vec<String>,
) {
    let table = match toml.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            let position = error_position(toml, error.span().map_or(0, |span| span.start));
            return problems.push(format!("  {origin}: {position} is not TOML"));
        }
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
