//! Connects to the servers, and waits for a limited time for those that are not up yet.

use std::{fmt::Display, future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::SystemClock,
    config::Config,
    engine::{kafka, kafka::KafkaLog, postgres, postgres::PostgresLedger, redis, redis::RedisGate},
    port::{Ledger, Ports},
};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Connects to all three servers. Tries again only after errors that may pass by themselves.
pub(super) async fn servers(config: &Config, stop: &CancellationToken) -> anyhow::Result<Ports> {
    Ok(system(config, stop).await?.0)
}

/// The same, with the ledger as what it can beyond its port.
pub(super) async fn system(
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<(Ports, Arc<PostgresLedger>)> {
    let (ports, ledger, _) = with(ledger(config, stop), config, stop).await?;
    Ok((ports, ledger))
}

/// The same with the gate, for `serve` and `work`: fails if the user of PostgreSQL lacks a right that they need.
pub(super) async fn with_rights(
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<(Ports, Arc<PostgresLedger>, Arc<RedisGate>)> {
    let ledger = patiently(
        "PostgreSQL",
        config.server.startup_timeout,
        stop,
        || PostgresLedger::connect_with_rights(&config.postgres),
        postgres::ConnectError::is_passing,
    );
    with(ledger, config, stop).await
}

/// Connects to the two others beside the ledger.
async fn with(
    ledger: impl Future<Output = anyhow::Result<PostgresLedger>>,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<(Ports, Arc<PostgresLedger>, Arc<RedisGate>)> {
    let gate = patiently(
        "Redis",
        config.server.startup_timeout,
        stop,
        || RedisGate::connect(&config.redis, config.sale.result_ttl),
        redis::ConnectError::is_passing,
    );
    let (ledger, log, gate) = tokio::try_join!(ledger, log(config, stop), gate)?;
    let (id, ledger) = (ledger.id(), Arc::new(ledger));
    let gate = Arc::new(gate.of_ledger(id));
    let ports = Ports {
        gate: gate.clone(),
        log: Arc::new(log.of_ledger(id)),
        ledger: ledger.clone(),
        clock: Arc::new(SystemClock),
    };
    Ok((ports, ledger, gate))
}

/// Connects to PostgreSQL alone.
pub(super) async fn ledger(
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<PostgresLedger> {
    patiently(
        "PostgreSQL",
        config.server.startup_timeout,
        stop,
        || PostgresLedger::connect(&config.postgres),
        postgres::ConnectError::is_passing,
    )
    .await
}

/// Connects to Kafka alone.
pub(super) async fn log(config: &Config, stop: &CancellationToken) -> anyhow::Result<KafkaLog> {
    patiently(
        "Kafka",
        config.server.startup_timeout,
        stop,
        || KafkaLog::connect(&config.kafka),
        kafka::ConnectError::is_passing,
    )
    .await
}

/// Calls `connect` until it succeeds, fails with an error that does not pass by itself, or `patience` is over. Logs the first
/// failure.
pub(super) async fn patiently<T, E, F>(
    server: &str,
    patience: Duration,
    stop: &CancellationToken,
    connect: impl Fn() -> F,
    is_passing: impl Fn(&E) -> bool,
) -> anyhow::Result<T>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + patience;
    let mut waiting = false;
    loop {
        let connected = tokio::select! {
            connected = connect() => connected,
            () = stop.cancelled() => anyhow::bail!("stopped while waiting for {server}"),
        };
        let error = match connected {
            Ok(connected) => {
                if waiting {
                    tracing::info!("{server} is there");
                }
                return Ok(connected);
            }
            Err(error) => error,
        };
        if !is_passing(&error) {
            anyhow::bail!("{error}");
        }
        if Instant::now() + PAUSE >= deadline {
            anyhow::bail!(
                "{error} (waited {} s, see STARTUP_TIMEOUT_SECS)",
                patience.as_secs()
            );
        }
        if !waiting {
            tracing::warn!(
                "waiting up to {} s for {server}: {error}",
                patience.as_secs()
            );
            waiting = true;
        }
        if tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
            anyhow::bail!("stopped while waiting for {server}");
        }
    }
}
