//! Whether the ledger serves.

use async_trait::async_trait;

use crate::port::LedgerError;

/// The question of health checks.
#[async_trait]
pub trait LedgerProbe: Send + Sync {
    /// Answers when the ledger does.
    async fn ping(&self) -> Result<(), LedgerError>;
}
