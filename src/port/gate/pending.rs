//! Attempts that hold a unit and whose settlement is not recorded.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::time::Duration;

use crate::{
    ids::{AttemptId, SaleId, UserId},
    port::{GateError, Holder},
};

/// A held attempt whose settlement is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingEntry {
    pub user: UserId,
    pub attempt: AttemptId,
    /// When it was reserved or last claimed, by the gate's clock.
    pub since: DateTime<Utc>,
}

/// The answer to claiming a pending attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It is pending, and its release is refused from now on.
    Claimed,
    /// It holds nothing, is settled already, or the sale is unknown.
    NotPending,
}

/// The list of pending attempts.
#[async_trait]
pub trait PendingAttempts: Send + Sync {
    /// Up to `limit` pending attempts that are at least this old, oldest first. Works on closed sales too.
    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError>;

    /// Claims pending attempts before they are appended again: from now on their release is refused, and they count as
    /// new for [`overdue`](Self::overdue). One answer for each.
    async fn claim(&self, sale: SaleId, holders: &[Holder])
    -> Result<Vec<ClaimOutcome>, GateError>;
}
