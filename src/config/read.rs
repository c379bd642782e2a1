//! Converts the texts of all settings to a [`Config`] and checks them. It collects all problems before it fails.

mod external;
mod kafka;
mod postgres;
mod redis;
#[cfg(test)]
mod tests;

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use self::{
    external::external,
    kafka::kafka,
    postgres::{original, postgres},
    redis::redis,
};
use super::{
    AuthConfig, Config, ConfigErrors, EmbeddedConfig, EventsConfig, LimitsConfig, MetricsAddress,
    OperatorConfig, PagesConfig, SaleConfig, Secret, ServerConfig, Sources, StressConfig,
    TelemetryConfig, TraceConfig, WorkerConfig, production, reader::Reader,
};

/// Accepted lifetimes of a token. A shorter one could end between the login and the sale. A longer one would keep a token valid
/// long after it leaked or after its account was deleted.
const TOKEN_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(30 * 24);
/// The product in the original's example configuration. The original's own data does not have it, so [`DEFAULT_SKU`] is used
/// instead.
const ORIGINAL_PLACEHOLDER_PRODUCT: &str = "flash-sale-product-001";
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
