//! What was decided about dead letters.

use async_trait::async_trait;

use crate::port::{DeadLetterDecision, LedgerError};

/// Durable notes of decisions about dead letters.
#[async_trait]
pub trait DeadLetterDecisions: Send + Sync {
    /// Notes durably what was decided about a dead letter of this log. Notes are never changed.
    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError>;

    /// What was decided about the dead letters of this log, the oldest first.
    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError>;
}
