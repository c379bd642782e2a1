//! Shares the figures of this process with the others, once a second.
//!
//! The reporter has a task of its own and only reads counters. So a store that does not answer delays no attempt and no
//! settlement.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    SettlementCounts,
    attempts::{AttemptCounts, AttemptReading, per_second},
};
use crate::{
    order::SettlementLag,
    port::{
        ApiFigures, ClusterFigures, GateError, NodeKind, NodeReport, NodeStatus, WorkerFigures,
    },
    telemetry::LogThrottle,
};

const INTERVAL: Duration = Duration::from_secs(1);
/// Longest time of one write.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads a number that belongs to another part of the process.
type Gauge = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The counters and gauges of an API node.
pub struct ApiSource {
    pub attempts: Arc<AttemptCounts>,
    /// Number of open connections.
    pub connections: Gauge,
    /// Number of connections that carry a stream of events.
    pub listeners: Gauge,
}

/// The counters of a worker.
pub struct WorkerSource {
    pub settlements: Arc<SettlementCounts>,
    pub lag: Arc<SettlementLag>,
}

/// Shares the figures of one process.
pub struct Reporter {
    pub store: Arc<dyn ClusterFigures>,
    pub id: String,
    pub kind: NodeKind,
    pub started_at: DateTime<Utc>,
    pub api: Option<ApiSource>,
    pub worker: Option<WorkerSource>,
    /// Whether the process can work at the moment. It is called once a second and must return without waiting.
    pub is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Cancelled when the process is about to end.
    pub draining: CancellationToken,
}

/// The counters at one moment.
#[derive(Default)]
struct Reading {
    attempts: AttemptReading,
    orders: u64,
    failed: u64,
}

impl Reporter {
    /// Shares the figures until `stop` is cancelled, then removes them. When the process begins to drain, this is shared without
    /// waiting for the next second.
    pub async fn run(self, stop: CancellationToken) {
        static LOG_THROTTLE: LogThrottle = LogThrottle::new();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut since) = (self.read(), Instant::now());
        let mut known_to_drain = false;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.draining.cancelled(), if !known_to_drain => known_to_drain = true,
                _ = ticks.tick() => {}
            }
            let (now, at) = (self.read(), Instant::now());
            let report = self.report(&before, &now, at - since);
            (before, since) = (now, at);
            let written = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                written = bounded(self.store.write_node(&report)) => written,
            };
            if let Err(error) = written
                && let Some(suppressed) = LOG_THROTTLE.allow_counting()
            {
                tracing::warn!(%error, suppressed, "the figures of this process cannot be shared: operators do not see it in the overview");
            }
        }
        // Without this, the process would be listed for ten seconds more.
        let _ = bounded(self.store.remove_node(&self.id)).await;
    }

    fn read(&self) -> Reading {
        let attempts = self.api.as_ref().map(|api| api.attempts.read());
        let settlements = self.worker.as_ref().map(|worker| &worker.settlements);
        Reading {
            attempts: attempts.unwrap_or_default(),
            orders: settlements.map_or(0, |counts| counts.orders()),
            failed: settlements.map_or(0, |counts| counts.failed()),
        }
    }

    fn report(&self, before: &Reading, now: &Reading, elapsed: Duration) -> NodeReport {
        let api = self.api.as_ref().map(|api| {
            let (attempts_per_sec, latency) = now.attempts.since(&before.attempts, elapsed);
            ApiFigures {
                attempts_per_sec,
                latency,
                connections: (api.connections)(),
                listeners: (api.listeners)(),
            }
        });
        let worker = self.worker.as_ref().map(|worker| {
            let (partitions, lag_records) = worker.settlements.partitions_and_lag();
            WorkerFigures {
                orders_per_sec: per_second(now.orders.saturating_sub(before.orders), elapsed),
                failed_per_sec: per_second(now.failed.saturating_sub(before.failed), elapsed),
                partitions,
                lag_records,
                lag_millis: u64::try_from(worker.lag.age().as_millis()).unwrap_or(u64::MAX),
            }
        });
        NodeReport {
            id: self.id.clone(),
            kind: self.kind,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            status: match (self.is_ready)() {
                _ if self.draining.is_cancelled() => NodeStatus::Draining,
                true => NodeStatus::Ready,
                false => NodeStatus::NotReady,
            },
            api,
            worker,
        }
    }
}

async fn bounded(call: impl Future<Output = Result<(), GateError>>) -> Result<(), GateError> {
    timeout(PATIENCE, call)
        .await
        .unwrap_or_else(|_| Err(GateError::Unknown("no answer in time".to_owned())))
}
