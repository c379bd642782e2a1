//! Retention: attempts of sales that are over are removed.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ids::{AttemptId, SaleId},
    port::{ActionEntry, AdminError, LedgerError},
};

/// What one call removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedPage {
    pub removed: u64,
    /// The last attempt that was looked at; `None` at the end.
    pub last: Option<AttemptId>,
}

/// Removes attempts by sale. Orders stay. Implemented by every ledger that keeps attempts durably.
///
/// A sale is closed first, and loses its attempts afterwards, page by page: from its closing on, an attempt of it that is settled
/// once more and has no order counts as sold out.
#[async_trait]
pub trait AttemptRetention: Send + Sync {
    /// Sales that ended before `ended_before` and are not closed, by id, at most `limit`. Drafts are none of them.
    async fn sales_over(
        &self,
        ended_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<SaleId>, LedgerError>;

    /// Closes these sales, at most `limit`, each with an entry in the action log. Returns them.
    async fn close_attempts(
        &self,
        ended_before: DateTime<Utc>,
        limit: u32,
        entry: &ActionEntry,
    ) -> Result<Vec<SaleId>, AdminError>;

    /// Removes the attempts of closed sales among the `limit` attempts with the lowest ids above `after`.
    async fn remove_attempts(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<RemovedPage, LedgerError>;
}
