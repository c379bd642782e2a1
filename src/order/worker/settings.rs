//! The settings of a worker.

use std::time::Duration;

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Workers of one group share the partitions.
    pub group: String,
    /// Unique to the process.
    pub id: String,
    /// How long a lease is valid without a heartbeat. Then other workers may take the partition.
    pub lease: Duration,
    /// The relay examines attempts that have been pending for at least this long.
    pub pending_age: Duration,
    /// How long a sale's keys stay in the gate after the sale's end.
    pub keep: Duration,
}
