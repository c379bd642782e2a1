//! The state of the whole system as operators see it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::readiness::{Dependencies, State},
    http::timestamp,
    order::figures::{Latency, Seen, Totals},
    port::{AttemptRates, NodeEntry, NodeKind, NodeStatus, Partition},
};

/// All processes, the sums of their figures, servers, leases and open dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "at": "2030-11-29T12:00:00.000Z",
    "nodes": [
        {
            "id": "api-019ad0f1-8c1e-7a40-b5d6-0b1f7c7d2e11", "kind": "api", "version": "0.1.0",
            "startedAt": "2030-11-29T08:00:00.000Z", "ageMillis": 420, "status": "ready",
            "attemptsPerSec": {"accepted": 120, "alreadyHeld": 3, "soldOut": 900, "notOpen": 0, "limited": 2, "unavailable": 0, "unknown": 0},
            "latencyMillis": {"p50": 1.2, "p99": 9.8}, "connections": 812, "listeners": 40
        },
        {
            "id": "worker-019ad0f1-9b02-7c11-8a4e-6f1d2c3b4a55", "kind": "worker", "version": "0.1.0",
            "startedAt": "2030-11-29T08:00:00.000Z", "ageMillis": 300, "status": "ready",
            "ordersPerSec": 118, "failedPerSec": 0, "partitions": [0, 1, 2], "lagRecords": 12, "lagSecs": 0.0
        }
    ],
    "totals": {
        "attemptsPerSec": {"accepted": 120, "alreadyHeld": 3, "soldOut": 900, "notOpen": 0, "limited": 2, "unavailable": 0, "unknown": 0},
        "latencyMillis": {"p50": 1.2, "p99": 9.8},
        "ordersPerSec": 118, "failedPerSec": 0, "lagRecords": 12, "lagSecs": 0.0, "connections": 812, "listeners": 40
    },
    "servers": [
        {"name": "gate", "status": "up", "text": "Redis answers"},
        {"name": "log", "status": "up", "text": "Kafka answers"},
        {"name": "ledger", "status": "up", "text": "PostgreSQL answers"}
    ],
    "leases": [
        {"partition": 0, "owner": "worker-019ad0f1-9b02-7c11-8a4e-6f1d2c3b4a55"},
        {"partition": 1, "owner": "worker-019ad0f1-9b02-7c11-8a4e-6f1d2c3b4a55"},
        {"partition": 2, "owner": "worker-019ad0f1-9b02-7c11-8a4e-6f1d2c3b4a55"}
    ],
    "deadLetters": 2
}))]
pub struct OverviewBody {
    /// When it was read.
    #[schema(format = DateTime)]
    at: String,
    /// Every process that shared its figures in the last ten seconds. Empty while the gate does not answer.
    nodes: Vec<NodeBody>,
    /// Of all `nodes`.
    totals: TotalsBody,
    servers: Vec<ServerBody>,
    /// Of every partition of the log. Empty while the ledger does not answer.
    leases: Vec<LeaseBody>,
    /// Dead letters about which nothing is decided, counted every ten seconds; 1000 means as many or more. `null` while they cannot
    /// be read.
    dead_letters: Option<u64>,
}

/// One process. An API node has the figures of attempts and connections, a worker those of orders, partitions and lag, and an
/// embedded process has both.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeBody {
    id: String,
    /// `api`, `worker` or `embedded`.
    kind: &'static str,
    version: String,
    #[schema(format = DateTime)]
    started_at: String,
    /// Since it shared its figures.
    age_millis: u64,
    /// `ready`, `not_ready`, or `draining`: it is about to end.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempts_per_sec: Option<AttemptsBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    latency_millis: Option<LatencyBody>,
    /// Connections to its API that are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connections: Option<u64>,
    /// Connections that wait for events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    listeners: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    orders_per_sec: Option<u64>,
    /// Attempts that ended without an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failed_per_sec: Option<u64>,
    /// The partitions that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    partitions: Option<Vec<i32>>,
    /// Their records that are not settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lag_records: Option<u64>,
    /// The age of the oldest accepted attempt that is not settled; 0 below a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lag_secs: Option<f64>,
}

/// The sums over all nodes. `lagSecs` is the largest of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalsBody {
    attempts_per_sec: AttemptsBody,
    latency_millis: LatencyBody,
    orders_per_sec: u64,
    failed_per_sec: u64,
    lag_records: u64,
    lag_secs: f64,
    connections: u64,
    listeners: u64,
}

/// Attempts per second by what they were answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptsBody {
    accepted: u64,
    /// Pressed again: the earlier attempt counts.
    already_held: u64,
    sold_out: u64,
    /// The sale takes none: not started, ended, paused, being prepared, or there is no such sale.
    not_open: u64,
    /// 429.
    limited: u64,
    /// 503, and surely nothing was taken.
    unavailable: u64,
    /// 503, and whether a unit is held is not known.
    unknown: u64,
}

/// How long attempts took of which the gate was asked, in milliseconds, without the transfer over the network. `null`: there were none
/// in the last second.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyBody {
    p50: Option<f64>,
    p99: Option<f64>,
}

/// A server that the system depends on.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerBody {
    /// `gate`, `log` or `ledger`.
    name: &'static str,
    status: State,
    /// For people.
    text: &'static str,
}

/// Who reads a partition of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseBody {
    partition: i32,
    /// The `id` of a worker. `null` while nobody reads it.
    owner: Option<String>,
}

impl OverviewBody {
    pub fn of(seen: Seen, servers: Vec<ServerBody>, at: DateTime<Utc>) -> Self {
        Self {
            at: timestamp(at),
            totals: Totals::of(&seen.nodes).into(),
            nodes: seen.nodes.into_iter().map(NodeBody::from).collect(),
            servers,
            leases: leases(seen.leases),
            dead_letters: seen.dead_letters,
        }
    }
}

impl ServerBody {
    /// The servers as this process knows them; `None`: they did not answer in time.
    #[must_use]
    pub fn all(found: Option<Dependencies>, embedded: bool) -> Vec<Self> {
        let states = match found {
            Some(found) => [found.gate, found.log, found.ledger],
            None => [State::Down; 3],
        };
        let texts = if embedded {
            [
                ("the gate is in this process", "the gate does not answer"),
                ("the data file answers", "the data file does not answer"),
                ("the data file answers", "the data file does not answer"),
            ]
        } else {
            [
                ("Redis answers", "Redis does not answer"),
                ("Kafka answers", "Kafka does not answer"),
                ("PostgreSQL answers", "PostgreSQL does not answer"),
            ]
        };
        let names = ["gate", "log", "ledger"];
        let all = names.into_iter().zip(states).zip(texts);
        all.map(|((name, status), (up, down))| Self {
            name,
            status,
            text: if status == State::Up { up } else { down },
        })
        .collect()
    }
}

impl From<NodeEntry> for NodeBody {
    fn from(entry: NodeEntry) -> Self {
        let NodeEntry { report, age } = entry;
        let (api, worker) = (report.api.as_ref(), report.worker.as_ref());
        Self {
            id: report.id,
            kind: match report.kind {
                NodeKind::Api => "api",
                NodeKind::Worker => "worker",
                NodeKind::Embedded => "embedded",
            },
            version: report.version,
            started_at: timestamp(report.started_at),
            age_millis: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            status: match report.status {
                NodeStatus::Ready => "ready",
                NodeStatus::NotReady => "not_ready",
                NodeStatus::Draining => "draining",
            },
            attempts_per_sec: api.map(|api| api.attempts_per_sec.into()),
            latency_millis: api
                .map(|api| LatencyBody::from(&Latency::from(api.latency.as_slice()))),
            connections: api.map(|api| api.connections),
            listeners: api.map(|api| api.listeners),
            orders_per_sec: worker.map(|worker| worker.orders_per_sec),
            failed_per_sec: worker.map(|worker| worker.failed_per_sec),
            partitions: worker.map(|worker| worker.partitions.clone()),
            lag_records: worker.map(|worker| worker.lag_records),
            lag_secs: worker.map(|worker| secs(worker.lag_millis)),
        }
    }
}

impl From<Totals> for TotalsBody {
    fn from(totals: Totals) -> Self {
        Self {
            attempts_per_sec: totals.attempts_per_sec.into(),
            latency_millis: LatencyBody::from(&totals.latency),
            orders_per_sec: totals.orders_per_sec,
            failed_per_sec: totals.failed_per_sec,
            lag_records: totals.lag_records,
            lag_secs: secs(totals.lag_millis),
            connections: totals.connections,
            listeners: totals.listeners,
        }
    }
}

impl From<AttemptRates> for AttemptsBody {
    fn from(rates: AttemptRates) -> Self {
        Self {
            accepted: rates.accepted,
            already_held: rates.already_held,
            sold_out: rates.sold_out,
            not_open: rates.not_open,
            limited: rates.limited,
            unavailable: rates.unavailable,
            unknown: rates.unknown,
        }
    }
}

impl From<&Latency> for LatencyBody {
    fn from(latency: &Latency) -> Self {
        let rounded = |share| {
            let millis: Option<f64> = latency.percentile(share);
            millis.map(|millis| (millis * 100.0).round() / 100.0)
        };
        Self {
            p50: rounded(0.5),
            p99: rounded(0.99),
        }
    }
}

fn leases(owners: BTreeMap<Partition, Option<String>>) -> Vec<LeaseBody> {
    let leases = owners.into_iter().map(|(partition, owner)| LeaseBody {
        partition: partition.0,
        owner,
    });
    leases.collect()
}

#[allow(clippy::cast_precision_loss)] // far below 2^53
fn secs(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}
