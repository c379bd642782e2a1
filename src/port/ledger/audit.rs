//! What audits read of the ledger: settled attempts and the action log.

use async_trait::async_trait;

use crate::{
    ids::{AttemptId, SaleId, UserId},
    port::{ActionLogCheck, LedgerError},
};

/// A settled attempt beside what stands of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledAttempt {
    pub attempt: AttemptId,
    pub sale: SaleId,
    pub user: UserId,
    /// Its outcome was an order.
    pub ordered: bool,
    /// An order made by it stands.
    pub has_order: bool,
}

/// Reads for audits.
#[async_trait]
pub trait LedgerAudit: Send + Sync {
    /// Settled attempts in the order of their ids, behind `after`, at most `limit`: fewer only at the end. For audits.
    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError>;

    /// Checks the hash chain of the action log, from its first entry to its head. A ledger that keeps no such log has none to
    /// check.
    async fn verify_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        Ok(ActionLogCheck::default())
    }
}
