//! The API put together on its ports and started: what `serve` runs. Processes without it serve the probes alone.

mod inside;
mod sessions;

use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

pub use inside::{serve_inside, serve_probes};

use self::sessions::open_sessions;
use super::{
    App, Probes, Readiness, Reports,
    admin::{Doctor, OverviewSource},
    app::Operators,
    events,
    pages::Pages,
    table,
};

use crate::{
    auth::{Directory, ServiceAccountDesk},
    config::Config,
    events::{
        Feed,
        webhooks::{WebhookDesk, client_options},
    },
    http::{self, OpenConnections},
    lifecycle::Lifecycle,
    order::{
        AttemptLimit, Services, SettlementLag, WatchedServers,
        audit::Audit,
        dead_letters::DeadLetters,
        figures::{ApiSource, OpenLetters, Overview, Reporter, SettlementCounts, WorkerSource},
    },
    port::{
        AccountStore, Administration, ClusterFigures, NodeKind, PartitionOwners, Ports,
        WebhookChanges,
    },
    push::{ResultFeed, SaleFeed},
    sale::Steering,
    telemetry::{self, MetricsPage, metric},
};

/// What operators work with besides the three ports.
pub struct Backoffice {
    pub accounts: Arc<dyn AccountStore>,
    pub administration: Arc<dyn Administration>,
    pub webhooks: Arc<dyn WebhookChanges>,
    pub doctor: Doctor,
    pub figures: Arc<dyn ClusterFigures>,
    pub owners: Arc<dyn PartitionOwners>,
}

/// This process among the others of the system.
pub struct Node {
    /// Unique to the process, and the owner of its worker's leases.
    pub id: String,
    pub kind: NodeKind,
    pub worker: Option<RunningWorker>,
}

/// A worker in this process.
pub struct RunningWorker {
    pub settlements: Arc<SettlementCounts>,
    /// Cancelled when it has handed its partitions back.
    pub ended: CancellationToken,
}

/// Starts the API on its port, as tasks of `lifecycle`. The catalog is read before the first client is let in. Answers what handlers
/// work with, for a listener of operators.
pub async fn serve(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: Ports,
    backoffice: Backoffice,
    node: Node,
    port: http::Bound,
    metrics: MetricsPage,
) -> anyhow::Result<App> {
    let accounts = Arc::clone(&backoffice.accounts);
    let figures = Arc::clone(&backoffice.figures);
    let sessions = open_sessions(lifecycle, config, &ports, accounts).await?;
    let directory = Arc::clone(&sessions.directory);
    let operators = operators(lifecycle, config, &ports, backoffice, directory);
    let lag = watch_settlement(lifecycle, ports.clone());
    let services = Services::open(lifecycle, ports.clone(), config.sale.result_ttl)
        .await
        .context("the catalog of sales could not be read")?;
    let catalog = || Arc::clone(&services.catalog);
    let drain = lifecycle.ending().drain.clone();
    let event_feed = Feed::new(ports.ledger.clone(), ports.ledger.id(), drain);
    let sale_feed = SaleFeed::start(lifecycle, catalog(), events::render);
    let result_feed = ResultFeed::start(lifecycle, ports.gate.clone(), catalog());
    let probes = probes(config, ports, &lag, metrics);
    let open = OpenConnections::default();
    let (connections, listeners) = (open.clone(), open.clone());
    show_connections(&open);
    let api = ApiSource {
        attempts: Arc::clone(services.purchase.counts()),
        connections: Arc::new(move || connections.count()),
        listeners: Arc::new(move || listeners.listeners()),
    };
    share_figures(lifecycle, figures, &probes, lag, node, Some(api));
    let attempt_limit = Arc::new(attempt_limit(config));
    let app = App {
        auth: sessions.auth,
        directory: sessions.directory,
        tokens: sessions.tokens,
        catalog: services.catalog,
        calls: services.calls,
        attempt_limit,
        purchase: services.purchase,
        results: services.results,
        sale_feed,
        result_feed,
        events: Arc::new(event_feed),
        operators,
        probes,
        pages: Pages::new(&config.server.pages, config.server.api_docs),
        external: table::External {
            accounts: config.external.issuer.is_some(),
            exchange: config.external.exchange.is_some(),
        },
    };
    listen(lifecycle, config, app.clone(), port, open)?;
    Ok(app)
}

/// Health checks and metrics of a process with these ports.
fn probes(config: &Config, ports: Ports, lag: &Arc<SettlementLag>, metrics: MetricsPage) -> Probes {
    let Ports {
        gate,
        log,
        ledger,
        clock,
    } = ports;
    let (ready_clock, lag) = (Arc::clone(&clock), Arc::clone(lag));
    let limit = config.server.settlement_lag;
    let readiness = Readiness::new(gate, log, ledger, ready_clock, lag, limit);
    Probes {
        readiness: Arc::new(readiness.without_ledger(config.server.ready_without_ledger)),
        clock,
        metrics,
    }
}

/// Serves the API on its port, as a task of `lifecycle`.
fn listen(
    lifecycle: &Lifecycle,
    config: &Config,
    app: App,
    port: http::Bound,
    open: OpenConnections,
) -> anyhow::Result<()> {
    let listener = port.listen().context("the port cannot be listened on")?;
    let (config, ending) = (config.server.clone(), lifecycle.ending().clone());
    let end = lifecycle.stop().clone();
    lifecycle.spawn("http", async move {
        // Tasks that end when nobody can ask them any more must find that the process is to end.
        let _until_then = app.clone();
        let settings = config.clone();
        let configure = move |service: &mut _| app.configure(&settings, service);
        let threads = config.http_threads;
        match http::serve(listener, threads, &config, ending, open, configure).await {
            // HTTP first: what is behind it goes on until the last request is answered.
            Ok(()) => end.cancel(),
            Err(error) => tracing::error!(%error, "serving failed"),
        }
    });
    Ok(())
}

fn attempt_limit(config: &Config) -> AttemptLimit {
    let mut limits = config.limits.clone();
    if !config.server.production {
        // A developer's load comes from one address.
        limits.attempts_per_address = 0;
    }
    AttemptLimit::new(&limits)
}

/// Starts to share the figures of this process with the others: in the end until its worker has ended.
pub fn share_figures(
    lifecycle: &Lifecycle,
    store: Arc<dyn ClusterFigures>,
    probes: &Probes,
    lag: Arc<SettlementLag>,
    node: Node,
    api: Option<ApiSource>,
) {
    let (watched, stop) = (Arc::clone(&probes.readiness), lifecycle.stop().clone());
    lifecycle.spawn("readiness", async move { watched.watch(stop).await });
    let until = node.worker.as_ref().map(|worker| worker.ended.clone());
    let until = until.unwrap_or_else(|| lifecycle.stop().clone());
    let readiness = Arc::clone(&probes.readiness);
    let reporter = Reporter {
        store,
        id: node.id,
        kind: node.kind,
        started_at: probes.clock.now(),
        api,
        worker: node.worker.map(|worker| WorkerSource {
            settlements: worker.settlements,
            lag,
        }),
        is_ready: Arc::new(move || readiness.was_ready()),
        draining: lifecycle.ending().drain.clone(),
    };
    lifecycle.spawn("figures", reporter.run(until));
}

fn operators(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: &Ports,
    backoffice: Backoffice,
    directory: Arc<Directory>,
) -> Operators {
    let group = config.kafka.consumer_group.clone();
    let letters = Arc::new(DeadLetters {
        log: Arc::clone(&ports.log),
        decisions: ports.ledger.clone(),
        settled: ports.ledger.clone(),
        clock: Arc::clone(&ports.clock),
    });
    let open_letters = Arc::new(OpenLetters::new(Arc::clone(&letters)));
    let (counted, stop) = (Arc::clone(&open_letters), lifecycle.stop().clone());
    lifecycle.spawn("open dead letters", async move {
        counted.keep_counting(stop).await;
    });
    Operators {
        webhooks: WebhookDesk {
            webhooks: backoffice.webhooks,
            events: ports.ledger.clone(),
            clock: Arc::clone(&ports.clock),
            options: client_options(config.events.private_networks),
        },
        service_accounts: ServiceAccountDesk {
            accounts: Arc::clone(&backoffice.accounts),
            directory: Some(directory),
        },
        accounts: backoffice.accounts,
        credentials: ports.ledger.clone(),
        overview: Arc::new(OverviewSource {
            overview: Overview {
                figures: backoffice.figures,
                owners: backoffice.owners,
                log: Arc::clone(&ports.log),
                group: group.clone(),
                letters: open_letters,
            },
            gate: Arc::clone(&ports.gate),
        }),
        steering: Arc::new(Steering {
            admin: backoffice.administration,
            withdrawals: ports.ledger.clone(),
            ended_orders: ports.ledger.clone(),
            gate: Some(Arc::clone(&ports.gate)),
            clock: Arc::clone(&ports.clock),
            keep: config.sale.result_ttl,
        }),
        letters,
        reports: Arc::new(Reports {
            audit: Arc::new(Audit::of(ports.clone(), group)),
            doctor: backoffice.doctor,
            runtime: tokio::runtime::Handle::current(),
            turn: tokio::sync::Mutex::new(()),
        }),
    }
}

#[allow(clippy::cast_precision_loss)] // connections
fn show_connections(open: &OpenConnections) {
    let (all, listeners) = (open.clone(), open.clone());
    telemetry::sample(metric::HTTP_CONNECTIONS, &[], move || {
        Some(all.count() as f64)
    });
    telemetry::sample(metric::LISTENERS, &[], move || {
        Some(listeners.listeners() as f64)
    });
}

/// Starts to watch how long accepted attempts wait to be settled.
#[must_use]
pub fn watch_settlement(lifecycle: &Lifecycle, ports: Ports) -> Arc<SettlementLag> {
    let lag = Arc::new(SettlementLag::default());
    let servers = WatchedServers {
        gate: ports.gate,
        ledger: ports.ledger,
        clock: ports.clock,
    };
    let (watched, stop) = (Arc::clone(&lag), lifecycle.stop().clone());
    lifecycle.spawn("settlement lag", async move {
        watched.watch(servers, stop).await;
    });
    lag
}
