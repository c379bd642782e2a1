//! The API put together on its three ports: what `serve` runs, and what tests run on engines of their choice.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    auth::{Auth, AuthLimits, Passwords, Tokens},
    clock::Clock,
    config::Config,
    http::{self, App, Probes, Readiness},
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

/// Starts the API on its port, as tasks of `lifecycle`. The catalog is read before the first client is let in.
pub async fn serve(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: Ports,
    port: http::Bound,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
) -> anyhow::Result<()> {
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
    let tokens = Arc::new(Tokens::new(&config.auth));
    let passwords = Passwords::new(&config.auth)?;
    let auth = Arc::new(Auth::new(
        Arc::clone(&ledger),
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
            lag,
            config.server.settlement_lag,
        )),
        clock,
        metrics,
    };
    let attempt_limit = Arc::new(AttemptLimit::new(config.limits.attempts_per_user));
    let app = App {
        auth,
        tokens,
        board: shop.board,
        attempt_limit,
        purchase: shop.purchase,
        results: shop.results,
        probes,
    };
    let listener = port.listen().context("the port cannot be listened on")?;
    let (server_config, server_stop) = (config.server.clone(), lifecycle.stop().clone());
    lifecycle.spawn("http", async move {
        if let Err(error) = http::run(listener, app, &server_config, server_stop).await {
            tracing::error!(%error, "serving failed");
        }
    });
    Ok(())
}

/// Starts to watch how long accepted attempts wait to be settled.
pub fn watch_settlement(lifecycle: &Lifecycle, engines: Engines) -> Arc<SettlementLag> {
    let lag = Arc::new(SettlementLag::default());
    let (watched, stop) = (Arc::clone(&lag), lifecycle.stop().clone());
    lifecycle.spawn("settlement lag", async move {
        watched.watch(&engines, stop).await;
    });
    lag
}
