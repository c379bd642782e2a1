//! Who gets a unit: reserving one, and giving it back.

use async_trait::async_trait;

use crate::{
    ids::{AttemptId, SaleId},
    port::{GateError, Holder, Standing},
};

/// The answer to one shopper who asks for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// A unit was taken for this attempt, which is now pending.
    Reserved,
    /// The shopper holds a unit already, by this attempt. A pending one is thereby claimed: its release is refused from
    /// now on, since another answer relies on it.
    AlreadyHeld {
        attempt: AttemptId,
        standing: Standing,
    },
    SoldOut,
    NotStarted,
    /// Its window is over, or it was cancelled.
    Ended,
    /// Its window is open, and an operator has paused it.
    Paused,
    /// The gate does not know the sale (yet, or any more), or it is being loaded.
    Closed,
}

/// The answer to giving a unit back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The unit can be bought again; no order can come of the attempt through the gate.
    Released,
    /// Somebody else answers for the attempt (a second press, or the relay): it stays held.
    Claimed,
    /// The attempt holds nothing: never reserved, already released, already settled, or the gate was emptied.
    NotHeld,
}

/// The decisions on the path of a purchase.
#[async_trait]
pub trait Reservations: Send + Sync {
    /// True if the gate keeps its state when this process ends. Only then may an attempt that is pending here count as accepted
    /// before the log is known to have it.
    fn is_durable(&self) -> bool;

    /// Decides for shoppers of one sale, in this order, in one atomic step. One outcome for each holder asked for.
    ///
    /// A shopper who holds a unit gets `AlreadyHeld` whatever window and switch say; repeated with the same attempt id, a
    /// reservation answers `AlreadyHeld` with that id.
    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError>;

    /// Gives back the unit of an attempt that surely was not logged.
    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError>;
}
