//! The API put together on its ports and started: what `serve` runs. Processes without it serve the probes alone.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use anyhow::Context;

use super::{
    App, Probes, Readiness, Reports, admin::Doctor, app::Operators, events, pages::Pages,
    table::Optional,
};

use crate::{
    auth::{Auth, AuthLimits, Directory, DirectoryEngines, Passwords, Tokens},
    config::{Config, ServerConfig},
    http::{self, Statuses},
    ids::LedgerId,
    lifecycle::Lifecycle,
    order::{AttemptLimit, Services, SettlementLag, audit::Audit, dead_letters::DeadLetters},
    port::{AccountStore, Administration, Ports, ResultAnnouncements},
    push::{ResultFeed, SaleFeed},
    sale::Steering,
};

/// Connections of those who watch a process, and of operators on the same port.
const INSIDE: usize = 256;

/// What operators work with besides the three ports.
pub struct Backoffice {
    pub accounts: Arc<dyn AccountStore>,
    pub administration: Arc<dyn Administration>,
    pub doctor: Doctor,
}

/// Starts the API on its port, as tasks of `lifecycle`. The catalog is read before the first client is let in. Answers what handlers
/// work with, for a listener of operators.
pub async fn serve(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: Ports,
    backoffice: Backoffice,
    port: http::Bound,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
) -> anyhow::Result<App> {
    let accounts = Arc::clone(&backoffice.accounts);
    let operators = operators(config, &ports, backoffice);
    let lag = watch_settlement(lifecycle, ports.clone());
    let services = Services::open(lifecycle, ports.clone(), config.sale.result_ttl)
        .await
        .context("the catalog of sales could not be read")?;
    let catalog = || Arc::clone(&services.catalog);
    let sale_feed = SaleFeed::start(lifecycle, catalog(), events::render);
    let announcements: Arc<dyn ResultAnnouncements> = ports.gate.clone();
    let result_feed = ResultFeed::start(lifecycle, announcements, catalog());
    let Ports {
        gate,
        log,
        ledger,
        clock,
    } = ports;
    let engines = DirectoryEngines {
        ledger: Arc::clone(&ledger),
        gate: Arc::clone(&gate),
        log: Arc::clone(&log),
        group: config.kafka.consumer_group.clone(),
    };
    let directory = Directory::open(lifecycle, engines)
        .await
        .context("the accounts could not be read")?;
    // The accounts of a data file may be taken along into a database (`flashsale export`), and their tokens with them.
    let issuer = if gate.is_durable() {
        ledger.id()
    } else {
        LedgerId::NONE
    };
    let tokens = Arc::new(Tokens::new(&config.auth).of_ledger(issuer));
    let passwords = Passwords::new(&config.auth)?;
    let auth = Auth::new(
        Arc::clone(&ledger),
        accounts,
        Arc::clone(&directory),
        AuthLimits::new(&config.limits),
        passwords,
        Arc::clone(&tokens),
        Arc::clone(&clock),
    );
    let auth = Arc::new(if config.server.production {
        auth.in_production()
    } else {
        auth
    });
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
        catalog: services.catalog,
        calls: services.calls,
        attempt_limit,
        purchase: services.purchase,
        results: services.results,
        sale_feed,
        result_feed,
        operators,
        probes,
        pages: Pages::new(&config.server.pages, config.server.api_docs),
    };
    let for_inside = app.clone();
    let listener = port.listen().context("the port cannot be listened on")?;
    let (server_config, ending) = (config.server.clone(), lifecycle.ending().clone());
    let end = lifecycle.stop().clone();
    lifecycle.spawn("http", async move {
        // Tasks that end when nobody can ask them any more must find that the process is to end.
        let _until_then = app.clone();
        let optional = Optional::of(&server_config);
        let statuses = Statuses::new(server_config.original_status_codes);
        let configure = move |service: &mut _| app.configure(optional, statuses, service);
        let threads = server_config.http_threads;
        match http::serve(listener, threads, &server_config, ending, configure).await {
            // HTTP first: what is behind it goes on until the last request is answered.
            Ok(()) => end.cancel(),
            Err(error) => tracing::error!(%error, "serving failed"),
        }
    });
    Ok(for_inside)
}

fn operators(config: &Config, ports: &Ports, backoffice: Backoffice) -> Operators {
    let group = config.kafka.consumer_group.clone();
    Operators {
        steering: Arc::new(Steering {
            admin: backoffice.administration,
            ledger: Arc::clone(&ports.ledger),
            gate: Some(Arc::clone(&ports.gate)),
            clock: Arc::clone(&ports.clock),
            keep: config.sale.result_ttl,
        }),
        letters: Arc::new(DeadLetters {
            log: Arc::clone(&ports.log),
            ledger: Arc::clone(&ports.ledger),
            clock: Arc::clone(&ports.clock),
        }),
        reports: Arc::new(Reports {
            audit: Arc::new(Audit::of(ports.clone(), group)),
            doctor: backoffice.doctor,
            runtime: tokio::runtime::Handle::current(),
            turn: tokio::sync::Mutex::new(()),
        }),
    }
}

/// Serves operators, health checks and metrics on a port for the inside, as a task of `lifecycle`, on connections and a thread of
/// their own: however many shoppers hold the API's connections, operators reach the node and those who watch it are answered.
pub fn serve_inside(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    app: App,
    port: http::Bound,
) -> anyhow::Result<()> {
    let admin_page = config.pages.admin;
    let configure = move |service: &mut ServiceConfig| app.configure_inside(admin_page, service);
    serve_beside(lifecycle, config, port, configure)
}

/// The same with health checks and metrics alone, for a process without an API.
pub fn serve_probes(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    probes: Probes,
    port: http::Bound,
) -> anyhow::Result<()> {
    let configure = move |service: &mut ServiceConfig| probes.configure(service);
    serve_beside(lifecycle, config, port, configure)
}

fn serve_beside(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    port: http::Bound,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let listener = port.listen().context("the port cannot be listened on")?;
    let config = ServerConfig {
        max_connections: INSIDE,
        max_connections_per_network: None,
        max_listeners: 0,
        ..config.clone()
    };
    let ending = lifecycle.ending().clone();
    let stop = lifecycle.stop().clone();
    lifecycle.spawn("probes", async move {
        match http::serve(listener, 1, &config, ending, configure).await {
            // They may end before the process does, and must not take it down.
            Ok(()) => stop.cancelled().await,
            Err(error) => tracing::error!(%error, "serving health and metrics failed"),
        }
    });
    Ok(())
}

/// Starts to watch how long accepted attempts wait to be settled.
#[must_use]
pub fn watch_settlement(lifecycle: &Lifecycle, ports: Ports) -> Arc<SettlementLag> {
    let lag = Arc::new(SettlementLag::default());
    let (watched, stop) = (Arc::clone(&lag), lifecycle.stop().clone());
    lifecycle.spawn("settlement lag", async move {
        watched.watch(&ports, stop).await;
    });
    lag
}
