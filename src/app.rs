//! The API put together on its three ports: what `serve` runs, and what tests run on engines of their choice.

use std::{net::TcpListener, sync::Arc};

use anyhow::Context;

use crate::{
    auth::{Auth, AuthLimits, Passwords, Tokens},
    clock::Clock,
    config::Config,
    http::{self, App, Probes, Readiness},
    lifecycle::Lifecycle,
    order::{AttemptLimit, Engines, Purchase, Results},
    port::{AttemptLog, Ledger, StockGate},
    sale::{Refresh, SaleBoard},
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

/// Starts the API on a listener, as tasks of `lifecycle`. The catalog is read before the first request is served.
pub async fn serve(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: Ports,
    listener: TcpListener,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
) -> anyhow::Result<()> {
    let Ports {
        gate,
        log,
        ledger,
        clock,
    } = ports;
    let board = Arc::new(SaleBoard::new(Arc::clone(&clock)));
    let refresh = Arc::new(Refresh {
        board: Arc::clone(&board),
        ledger: Arc::clone(&ledger),
        gate: Arc::clone(&gate),
        clock: Arc::clone(&clock),
        keep: config.sale.result_ttl,
    });
    refresh
        .catalog()
        .await
        .context("the catalog of sales could not be read")?;
    let stop = lifecycle.stop();
    let (catalog, stock) = (Arc::clone(&refresh), refresh);
    let (catalog_stop, stock_stop) = (stop.clone(), stop.clone());
    lifecycle.spawn("catalog", async move {
        catalog.keep_catalog(catalog_stop).await;
    });
    lifecycle.spawn("stock", async move { stock.keep_stock(stock_stop).await });

    let results = Arc::new(Results::start(
        lifecycle,
        Arc::clone(&gate),
        Arc::clone(&board),
    ));
    let purchase = Arc::new(Purchase::start(
        lifecycle,
        Arc::clone(&gate),
        Arc::clone(&log),
        Arc::clone(&board),
        Arc::clone(&results),
        Arc::clone(&clock),
    ));
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
        readiness: Arc::new(Readiness::new(gate, log, ledger)),
        clock,
        metrics,
    };
    let attempt_limit = Arc::new(AttemptLimit::new(config.limits.attempts_per_user));
    let app = App {
        auth,
        tokens,
        board,
        attempt_limit,
        purchase,
        results,
        probes,
    };
    let (server_config, server_stop) = (config.server.clone(), stop.clone());
    lifecycle.spawn("http", async move {
        if let Err(error) = http::run(listener, app, &server_config, server_stop).await {
            tracing::error!(%error, "serving failed");
        }
    });
    Ok(())
}
