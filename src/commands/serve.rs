//! `flashsale serve`: the HTTP API.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Args;

use super::{
    connect, doctor, embedded, known_passwords,
    listen::take_port,
    target::Target,
    work::{export_traces, new_id},
};
use crate::{
    api::{self, App, Backoffice, Node},
    config::Config,
    engine::embedded::MemoryFigures,
    http::Bound,
    lifecycle::Lifecycle,
    port::{NodeKind, Ports},
    telemetry,
};

/// Time in addition to `SHUTDOWN_TIMEOUT_SECS`, in which accepted attempts are appended after the last connection is closed.
const DRAIN: Duration = Duration::from_secs(5);

/// Serve the HTTP API
///
/// Start as many as you like behind a load balancer: they keep no state. Settling attempts needs at least one
/// `flashsale work` on the same servers; it also opens the sales.
///
/// With --embedded the whole system runs in this one process, worker included, and needs no server: everything is in one
/// file, on disk before a shopper is answered. For a small shop, or a first look.
///
/// GET /health says that the process runs, /health/ready that its servers answer, /api-docs explains every endpoint, and
/// /metrics is for Prometheus.
///
/// On SIGTERM it drains: /health/ready answers 503 and every answer closes its connection, while everything is served for
/// DRAIN_DELAY_SECS, so that load balancers notice; then what runs is finished (`SHUTDOWN_TIMEOUT_SECS`). SIGINT (Ctrl-C) skips
/// the delay. A second signal ends at once.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Serve {
    /// The port to listen on, instead of PORT; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    pub(super) target: Target,
    /// With --embedded: leave an empty data file empty, without demo data; always so with APP_ENV=production
    #[arg(long, requires = "embedded")]
    no_seed: bool,
}

impl Serve {
    pub(super) async fn run(self, mut config: Config) -> anyhow::Result<()> {
        if self.target.is_embedded() {
            embedded::GROUP.clone_into(&mut config.kafka.consumer_group);
        }
        let kind = if self.target.is_embedded() {
            "embedded"
        } else {
            "api"
        };
        let metrics = telemetry::start_metrics(kind);
        let lifecycle = Lifecycle::default();
        lifecycle.drain_on_signals()?;
        export_traces(&lifecycle, &config, kind)?;
        // Before the servers are waited for, so that a port in use is reported at once.
        let (port, metrics_port) = self.take_ports(&config).await?;
        let address = port.address()?;
        if !config.server.production {
            warn_if_reachable(address, "HOST");
            if let Some(metrics_port) = &metrics_port {
                warn_if_reachable(metrics_port.address()?, "METRICS_HOST");
            }
        }
        let url = format!("http://{}:{}", reachable(address.ip()), address.port());
        let embedded = match self.target.data_dir(&config)? {
            Some(directory) => {
                // Not in production: the demo passwords are public.
                let seed = !self.no_seed && !config.server.production;
                Some(embedded::start(&lifecycle, &config, directory, seed).await?)
            }
            None => None,
        };
        let (embedded, node) = embedded.unzip();
        let (ports, backoffice, node) = match (&embedded, node) {
            (Some(embedded), Some(node)) => {
                let (ports, backoffice) = of_process(&config, embedded);
                (ports, backoffice, node)
            }
            _ => on_servers(&config, &lifecycle).await?,
        };
        if config.server.production {
            known_passwords::refuse(&config.auth, backoffice.accounts.as_ref()).await?;
        }
        let starting = api::serve(&lifecycle, &config, ports, backoffice, node, port, metrics);
        let app = if embedded.is_some() {
            // A data file answers at once, and is closed by nobody else than below.
            starting.await?
        } else {
            tokio::select! {
                started = starting => started?,
                () = lifecycle.ending().drain.cancelled() => anyhow::bail!("stopped before it served"),
            }
        };
        serve_inside(&lifecycle, &config, app, metrics_port)?;
        tracing::info!("serving {url}, documented at {url}/api-docs");
        if let Some(embedded) = &embedded {
            embedded.announce(&url, &config).await;
        }
        // Connections have the timeout; the attempts that they sent have a little more time to be appended and answered.
        let server = &config.server;
        let end = lifecycle
            .run(server.drain_delay, server.shutdown_timeout + DRAIN)
            .await;
        if let Some(embedded) = embedded {
            embedded.close().await;
        }
        end?;
        tracing::info!("stopped");
        Ok(())
    }

    /// The port of the API, and the one for operators, health and metrics.
    async fn take_ports(&self, config: &Config) -> anyhow::Result<(Bound, Option<Bound>)> {
        let port = self.port.unwrap_or(config.server.port);
        let port = take_port(&config.server.host, port, "HOST and PORT").await?;
        let metrics_port = match &config.server.metrics {
            Some(metrics) => {
                let settings = "METRICS_HOST and METRICS_PORT";
                Some(take_port(&metrics.host, metrics.port, settings).await?)
            }
            None => None,
        };
        Ok((port, metrics_port))
    }
}

/// Serves operators, health and metrics on a port of their own, if there is one.
fn serve_inside(
    lifecycle: &Lifecycle,
    config: &Config,
    app: App,
    port: Option<Bound>,
) -> anyhow::Result<()> {
    if let Some(port) = port {
        let address = port.address()?;
        api::serve_inside(lifecycle, &config.server, app, port)?;
        tracing::info!(%address, "serving operators, health and metrics");
    } else {
        // What is kept here would keep its batches open: they end when nobody can add to them any more.
        drop(app);
        if config.server.production {
            tracing::warn!(
                "metrics are not served: in production they have a port of their own, METRICS_PORT"
            );
        }
    }
    Ok(())
}

/// Warns of development on a listener that other machines reach. That of `METRICS_PORT` serves logins and operators, too.
fn warn_if_reachable(address: SocketAddr, setting: &str) {
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "development on an address that other machines reach: known secrets are taken and limits stand back; set NODE_ENV=production, or {setting}=127.0.0.1"
        );
    }
}

/// The engines of this process, and what operators work with.
fn of_process(config: &Config, embedded: &embedded::Running) -> (Ports, Backoffice) {
    let backoffice = Backoffice {
        accounts: embedded.accounts(),
        administration: embedded.administration(),
        webhooks: embedded.webhooks(),
        doctor: doctor::report_of_data_file(config, embedded.ports()),
        figures: Arc::new(MemoryFigures::default()),
        owners: embedded.owners(),
    };
    (embedded.ports(), backoffice)
}

/// Connects to the servers.
async fn on_servers(
    config: &Config,
    lifecycle: &Lifecycle,
) -> anyhow::Result<(Ports, Backoffice, Node)> {
    let (ports, ledger, gate) = connect::with_rights(config, &lifecycle.ending().drain).await?;
    let backoffice = Backoffice {
        accounts: ledger.clone(),
        administration: ledger.clone(),
        webhooks: ledger.clone(),
        doctor: doctor::report_of_servers(config),
        figures: gate,
        owners: ledger,
    };
    let node = Node {
        id: new_id(NodeKind::Api),
        kind: NodeKind::Api,
        worker: None,
    };
    Ok((ports, backoffice, node))
}

/// The host of the URL for a browser on this machine.
fn reachable(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
