//! The figures of all processes together, with the owners of partitions and the open dead letters.
//!
//! Each part is read at the same time as the others and within a second. A part that cannot be read is left out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Latency, OpenLetters};
use crate::port::{
    AttemptLog, AttemptRates, ClusterFigures, NodeEntry, Partition, PartitionOwners,
};

/// Longest time that the store of figures, or the ledger, may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the overview.
pub struct Overview {
    pub figures: Arc<dyn ClusterFigures>,
    pub owners: Arc<dyn PartitionOwners>,
    pub log: Arc<dyn AttemptLog>,
    /// The group of workers.
    pub group: String,
    pub letters: Arc<OpenLetters>,
}

/// The parts of the overview, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Empty if they cannot be read.
    pub nodes: Vec<NodeEntry>,
    /// The partitions that the log has, each with its owner. Empty if the owners cannot be read.
    pub leases: BTreeMap<Partition, Option<String>>,
    /// Number of open dead letters, at most a thousand. `None` if they cannot be read.
    pub dead_letters: Option<u64>,
}

/// The sums over all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub attempts_per_sec: AttemptRates,
    pub latency: Latency,
    pub orders_per_sec: u64,
    pub failed_per_sec: u64,
    pub lag_records: u64,
    /// The largest lag of all nodes.
    pub lag_millis: u64,
    pub connections: u64,
    pub listeners: u64,
}

impl Overview {
    pub async fn read(&self) -> Seen {
        let (nodes, leases, dead_letters) = tokio::join!(
            known("figures", self.figures.nodes()),
            known(
                "owners of partitions",
                self.owners.partition_owners(&self.group, self.log.name())
            ),
            self.letters.count()
        );
        let mut leases = leases.unwrap_or_default();
        let partitions = self.log.partitions();
        // Rows of a log that was made anew with fewer partitions stay in the ledger.
        leases.retain(|partition, _| partition.0 < partitions);
        Seen {
            nodes: nodes.unwrap_or_default(),
            leases,
            dead_letters,
        }
    }
}

impl Totals {
    #[must_use]
    pub fn of(nodes: &[NodeEntry]) -> Self {
        let mut totals = Self::default();
        for node in nodes {
            if let Some(api) = &node.report.api {
                add(&mut totals.attempts_per_sec, api.attempts_per_sec);
                totals.latency.add(&api.latency);
                totals.connections += api.connections;
                totals.listeners += api.listeners;
            }
            if let Some(worker) = &node.report.worker {
                totals.orders_per_sec += worker.orders_per_sec;
                totals.failed_per_sec += worker.failed_per_sec;
                totals.lag_records += worker.lag_records;
                totals.lag_millis = totals.lag_millis.max(worker.lag_millis);
            }
        }
        totals
    }
}

impl From<&[(u16, u64)]> for Latency {
    fn from(counts: &[(u16, u64)]) -> Self {
        let mut latency = Self::default();
        latency.add(counts);
        latency
    }
}

fn add(sum: &mut AttemptRates, rates: AttemptRates) {
    sum.accepted += rates.accepted;
    sum.already_held += rates.already_held;
    sum.sold_out += rates.sold_out;
    sum.not_open += rates.not_open;
    sum.limited += rates.limited;
    sum.unavailable += rates.unavailable;
    sum.unknown += rates.unknown;
}

async fn known<T, E: std::fmt::Display>(
    what: &str,
    reading: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match timeout(PATIENCE, reading).await {
        Ok(Ok(read)) => Some(read),
        Ok(Err(error)) => {
            tracing::debug!(what, %error, "left out of the overview");
            None
        }
        Err(_) => None,
    }
}
