//! Logs and metrics of a process.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::TelemetryConfig;

/// Bounds of the buckets of every `…_seconds` histogram.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Libraries that narrate what they do, or log as errors what is handled, and logged, where it matters.
const QUIETER: &[&str] = &[
    "rskafka=off",
    "fred=warn",
    "actix_server=warn",
    "tokio_postgres=warn",
];

/// Logs from now on, to standard error: standard output is for what a command answers.
pub fn start_logging(config: &TelemetryConfig) {
    let mut filter = EnvFilter::new(&config.level);
    if !config.level.contains([',', '=']) {
        for directive in QUIETER {
            if let Ok(directive) = directive.parse() {
                filter = filter.add_directive(directive);
            }
        }
    }
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call in one process (tests) keeps the first.
    let _ = if config.json {
        log.json().try_init()
    } else {
        log.with_target(false).try_init()
    };
}

/// Starts counting; the handle renders what was counted.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    // A second call in one process (tests) renders its own recorder, which stays empty.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}
