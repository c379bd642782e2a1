//! Whether the gate serves, and what its clock says.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::port::GateError;

/// Questions about the gate itself.
#[async_trait]
pub trait GateProbe: Send + Sync {
    /// The time by the gate's clock, which opens and closes sales. On a cluster, of one of its masters: their clocks are to
    /// be within a second of each other.
    async fn now(&self) -> Result<DateTime<Utc>, GateError>;

    /// Succeeds when the gate takes writes now: a server that only answers is not enough.
    async fn ping(&self) -> Result<(), GateError>;
}
