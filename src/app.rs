//! The API put together on its three ports: what `serve` runs, and what tests run on engines of their choice.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    auth::{Auth, AuthLimits, Directory, DirectoryEngines, Passwords, Tokens},
    clock::Clock,
    config::{Config, ServerConfig},
    http::{self, App, Probes, Readiness},
    ids::LedgerId,
    lifecycle::Lifecycle,
    order::{AttemptLimit, Engines, SettlementLag, Shop},
    port::{AttemptLog, Ledger, StockGate},
};

/// The engines behind the API, and the time.
#[derive(Clone)]
pub struct Ports {
    pub gate: Arc<dyn StockGate>,
    pub log: Arc<dyn AttemptLog>,
    pub ledger: Arc<dyn Ledger>,
    pub clock: Arc<dyn Clock>,
}

impl From<Ports> for Engines {
    fn from(ports: Ports) -> Self {
        Self {
            gate: ports.gate,
            log: ports.log,
            ledger: ports.ledger,
            clock: ports.clock,
        }
    }
}

/// Starts the API on its port, as tasks of `lifecycle`. The catalog is read before the first client is let in. Answers what the
/// probes work with, for a listener of their own.
pub async fn serve(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: Ports,
    port: http::Bound,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
) -> anyhow::Result<Probes> {
    let Ports {
        gate,
        log,
        ledger,
        clock,
    } = ports;
    let engines = Engines {
        gate: Arc::clone(&gate),
        log: Arc::clone(&log),
        ledger: Arc::clone(&ledger),
        clock: Arc::clone(&clock),
    };
    let lag = watch_settlement(lifecycle, engines.clone());
    let shop = Shop::open(lifecycle, engines, config.sale.result_ttl)
        .await
        .context("the catalog of sales could not be read")?;
    let accounts = DirectoryEngines {
        ledger: Arc::clone(&ledger),
        gate: Arc::clone(&gate),
        log: Arc::clone(&log),
        group: config.kafka.consumer_group.clone(),
    };
    let directory = Directory::open(lifecycle, accounts)
        .await
        .context("the accounts could not be read")?;
    // The accounts of a data file may be taken along into a database (`flashsale export`), and their tokens with them.
    let issuer = if gate.outlives_process() {
        ledger.id()
    } else {
        LedgerId::NONE
    };
    let tokens = Arc::new(Tokens::new(&config.auth).of_ledger(issuer));
    let passwords = Passwords::new(&config.auth)?;
    let auth = Arc::new(Auth::new(
        Arc::clone(&ledger),
        Arc::clone(&directory),
        AuthLimits::new(&config.limits),
        passwords,
        Arc::clone(&tokens),
        Arc::clone(&clock),
    ));
    let probes = Probes {
        readiness: Arc::new(Readiness::new(
            gate,
            log,
            ledger,
            Arc::clone(&clock),
            lag,
            config.server.settlement_lag,
        )),
        clock,
        metrics,
    };
    let mut limits = config.limits.clone();
    if !config.server.production {
        // A developer's load comes from one address.
        limits.attempts_per_address = 0;
    }
    let attempt_limit = Arc::new(AttemptLimit::new(&limits));
    let app = App {
        auth,
        directory,
        tokens,
        board: shop.board,
        calls: shop.calls,
        attempt_limit,
        purchase: shop.purchase,
        results: shop.results,
        probes: probes.clone(),
    };
    let listener = port.listen().context("the port cannot be listened on")?;
    let (server_config, ending) = (config.server.clone(), lifecycle.ending().clone());
    let end = lifecycle.stop().clone();
    lifecycle.spawn("http", async move {
        // Tasks that end when nobody can ask them any more must find that the process is to end.
        let _until_then = app.clone();
        match http::run(listener, app, &server_config, ending).await {
            // HTTP first: what is behind it goes on until the last request is answered.
            Ok(()) => end.cancel(),
            Err(error) => tracing::error!(%error, "serving failed"),
        }
    });
    Ok(probes)
}

/// Serves health checks and metrics alone on a port, as a task of `lifecycle`.
pub fn serve_probes(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    probes: Probes,
    port: http::Bound,
) -> anyhow::Result<()> {
    let listener = port.listen().context("the port cannot be listened on")?;
    let (config, ending) = (config.clone(), lifecycle.ending().clone());
    let stop = lifecycle.stop().clone();
    lifecycle.spawn("probes", async move {
        match http::run_probes(listener, probes, &config, ending).await {
            // They may end before the process does, and must not take it down.
            Ok(()) => stop.cancelled().await,
            Err(error) => tracing::error!(%error, "serving health and metrics failed"),
        }
    });
    Ok(())
}

/// Starts to watch how long accepted attempts wait to be settled.
#[must_use]
pub fn watch_settlement(lifecycle: &Lifecycle, engines: Engines) -> Arc<SettlementLag> {
    let lag = Arc::new(SettlementLag::default());
    let (watched, stop) = (Arc::clone(&lag), lifecycle.stop().clone());
    lifecycle.spawn("settlement lag", async move {
        watched.watch(&engines, stop).await;
    });
    lag
}
