//! Units on their way out of a sale: the movements that name them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ids::SaleId,
    port::{LedgerError, Movement, MovementId},
};

/// Reads and completes withdrawals. They begin with [`begin_withdrawal`](crate::port::Administration::begin_withdrawal).
#[async_trait]
pub trait Withdrawals: Send + Sync {
    /// Withdrawals of these sales that are PENDING, the oldest first. A sale has at most
    /// [`MAX_PENDING_MOVEMENTS`](crate::port::MAX_PENDING_MOVEMENTS).
    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError>;

    /// Withdrawals that are PENDING though their sale ended before `since`, at most 100. [`sales`](super::SaleListings::sales) since then does not list
    /// these sales.
    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError>;

    /// Those of these withdrawals that exist.
    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError>;

    /// Completes a PENDING withdrawal with the number of units that the gate took: lowers the sale's initial and remaining units by it
    /// in the same transaction, which raises the version, and notes it in the action log. `0` closes it as REFUSED. Repeated, it
    /// answers what is stored. `None`: there is no such withdrawal.
    ///
    /// If fewer units remain than were taken, since a statement written by hand has lowered them meanwhile, only those are taken
    /// from the ledger: `applied` says how many.
    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError>;
}
