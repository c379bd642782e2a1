//! The figures that every process of the system shares with the others once a second, and the owners of the log's partitions.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{GateError, LedgerError, Partition};

/// An entry that was written longer ago is of a process that has ended.
pub const NODE_ENTRY_TTL: Duration = Duration::from_secs(10);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    Api,
    Worker,
    /// Both, with its data in the same process.
    Embedded,
}

/// Whether a process can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    Ready,
    /// A server that it depends on does not answer, or settling is late.
    NotReady,
    /// It is about to end.
    Draining,
}

/// Attempts of one second, or attempts per second, by what they were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptRates {
    pub accepted: u64,
    pub already_held: u64,
    pub sold_out: u64,
    pub not_open: u64,
    pub limited: u64,
    pub unavailable: u64,
    pub unknown: u64,
}

/// The figures of a process that serves the API, of its last second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiFigures {
    pub attempts_per_sec: AttemptRates,
    /// How many attempts took how long: pairs of a bucket's index and its count. `order::figures` defines the buckets, which must
    /// stay the same in all versions.
    pub latency: Vec<(u16, u64)>,
    pub connections: u64,
    pub listeners: u64,
}

/// The figures of a worker, of its last second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerFigures {
    pub orders_per_sec: u64,
    pub failed_per_sec: u64,
    /// The partitions that it reads.
    pub partitions: Vec<i32>,
    /// Records of these partitions that are not settled.
    pub lag_records: u64,
    /// The age of the oldest accepted attempt that is not settled, of all partitions; 0 below a second.
    pub lag_millis: u64,
}

/// What a process says of itself. Fields that a later version adds are ignored, fields that an earlier one lacks are zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Unique to the process. A worker's is also the owner of its leases.
    pub id: String,
    pub kind: NodeKind,
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub status: NodeStatus,
    #[serde(default)]
    pub api: Option<ApiFigures>,
    #[serde(default)]
    pub worker: Option<WorkerFigures>,
}

/// A stored report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    pub report: NodeReport,
    /// Since it was written, by the clock of the store.
    pub age: Duration,
}

/// Where all processes of a system leave their reports. Every call answers within a bounded time.
#[async_trait]
pub trait ClusterFigures: Send + Sync {
    /// Stores the report of a process in the place of its last one.
    async fn write_node(&self, report: &NodeReport) -> Result<(), GateError>;

    /// Removes the report of a process that ends.
    async fn remove_node(&self, id: &str) -> Result<(), GateError>;

    /// The reports of all processes, by their ids, without those that are older than [`NODE_ENTRY_TTL`].
    async fn nodes(&self) -> Result<Vec<NodeEntry>, GateError>;
}

/// The leases of all workers of a group.
#[async_trait]
pub trait PartitionOwners: Send + Sync {
    /// The member that holds the lease of each partition; `None` while nobody does.
    async fn partition_owners(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Option<String>>, LedgerError>;
}
