//! `flashsale work`: a worker, which settles attempts and delivers events.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{connect, listen::take_port};
use crate::{
    api::{self, Node, Probes, Readiness, RunningWorker},
    clock::SystemClock,
    config::Config,
    engine::kafka::KafkaEvents,
    events::{Publisher, PublisherSettings, Receivers, webhooks::client_options},
    lifecycle::Lifecycle,
    order::{Worker, WorkerSettings},
    outgoing::HttpClient,
    port::{EventRecording, EventTopic, NodeKind, Ports, Webhooks},
    telemetry,
};

/// Settle accepted attempts: read them from Kafka, write orders to PostgreSQL, tell Redis
///
/// Start as many as you like: they share the partitions of the topic fairly, take over from one that dies once its lease
/// has run out (`WORKER_LEASE_SECS`), and hand their partitions back on SIGTERM or SIGINT. One of them also opens sales in
/// Redis, loads them anew when Redis was emptied, and finishes attempts that an API node left half done.
///
/// With `ENABLE_CONSUMER=false` it says so and exits with 0. With `WORKER_PORT` it serves /health, /health/ready and /metrics.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Work {}

impl Work {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        if !config.worker.enabled {
            tracing::info!("the consumer is disabled (ENABLE_CONSUMER=false): nothing to do");
            return Ok(());
        }
        let metrics = telemetry::start_metrics("worker");
        let lifecycle = Lifecycle::default();
        lifecycle.stop_on_signals()?;
        export_traces(&lifecycle, &config, "worker")?;
        let (ports, ledger, figures) = connect::with_rights(&config, lifecycle.stop()).await?;

        let lag = api::watch_settlement(&lifecycle, ports.clone());
        let readiness = Readiness::new(
            ports.gate.clone(),
            ports.log.clone(),
            ports.ledger.clone(),
            ports.clock.clone(),
            Arc::clone(&lag),
            config.server.settlement_lag,
        );
        let probes = Probes {
            readiness: Arc::new(readiness),
            clock: Arc::new(SystemClock),
            metrics,
        };
        if let Some(port) = config.worker.port {
            let port = take_port(&config.worker.host, port, "WORKER_HOST and WORKER_PORT").await?;
            // This port is closed as soon as the worker is told to stop. It needs no time to drain, since no load balancer sends
            // requests to a worker.
            api::serve_probes(&lifecycle, &config.server, probes.clone(), port)?;
        }

        let id = new_id(NodeKind::Worker);
        let topic = KafkaEvents::new(&config.kafka)?;
        let topic = topic.map(|topic| Arc::new(topic) as Arc<dyn EventTopic>);
        // `ledger` is passed on as the store of webhooks.
        start_events(&lifecycle, &config, &ports, (topic, ledger), &id).await?;
        let worker = spawn_worker(&lifecycle, &config, ports, &id);
        let node = Node {
            id,
            kind: NodeKind::Worker,
            worker: Some(worker),
        };
        // `None`: a worker has no figures of an API node.
        api::share_figures(&lifecycle, figures, &probes, lag, node, None);
        lifecycle
            .run(Duration::ZERO, config.server.shutdown_timeout)
            .await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Exports traces, if the settings name a collector.
pub(super) fn export_traces(
    lifecycle: &Lifecycle,
    config: &Config,
    kind: &'static str,
) -> anyhow::Result<()> {
    if let Some(exporter) = telemetry::start_tracing(&config.trace, kind)? {
        let stop = lifecycle.stop().clone();
        lifecycle.spawn("traces", exporter.run(stop));
    }
    Ok(())
}

/// A new id for a process of this kind.
pub(super) fn new_id(kind: NodeKind) -> String {
    let kind = match kind {
        NodeKind::Api => "api",
        NodeKind::Worker => "worker",
        NodeKind::Embedded => "embedded",
    };
    format!("{kind}-{}", Uuid::now_v7())
}

/// Starts to deliver events in a task of the process with this id. If the settings turn events off, tells the ledger to record
/// none instead.
pub(super) async fn start_events(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: &Ports,
    (topic, webhooks): (Option<Arc<dyn EventTopic>>, Arc<dyn Webhooks>),
    id: &str,
) -> anyhow::Result<()> {
    if !config.events.enabled {
        ports.ledger.record_events(EventRecording::Off).await?;
        return Ok(());
    }
    let settings = PublisherSettings {
        group: config.kafka.consumer_group.clone(),
        id: id.to_owned(),
        lease: config.worker.lease,
        retention: config.events.retention,
    };
    let options = client_options(config.events.private_networks);
    let client = tokio::task::spawn_blocking(move || HttpClient::new(options)).await??;
    let receivers = Receivers {
        topic,
        webhooks,
        client: Arc::new(client),
    };
    let (ledger, clock) = (ports.ledger.clone(), Arc::clone(&ports.clock));
    let publisher = Publisher::new(ledger, clock, receivers, &settings);
    let stop = lifecycle.stop().clone();
    lifecycle.spawn("events", publisher.run(stop));
    Ok(())
}

/// Starts a worker as a task of the process with this id.
pub(super) fn spawn_worker(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: Ports,
    id: &str,
) -> RunningWorker {
    let settings = WorkerSettings {
        group: config.kafka.consumer_group.clone(),
        id: id.to_owned(),
        lease: config.worker.lease,
        pending_age: config.worker.pending_age,
        keep: config.sale.result_ttl,
    };
    tracing::info!(worker = settings.id, topic = ports.log.name(), "working");
    let worker = Worker::new(ports, settings);
    let running = RunningWorker {
        settlements: worker.counts(),
        ended: CancellationToken::new(),
    };
    let (stop, ended) = (lifecycle.stop().clone(), running.ended.clone());
    lifecycle.spawn("worker", async move {
        worker.run(stop).await;
        ended.cancel();
    });
    running
}
