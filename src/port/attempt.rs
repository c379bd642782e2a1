//! An accepted attempt and what becomes of it: the words that gate, log and ledger share.

use chrono::{DateTime, Utc};

use crate::ids::{AttemptId, ProductId, SaleId, UserId};

/// One press of "buy" for which the gate reserved a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub sale: SaleId,
    pub product: ProductId,
    pub user: UserId,
    /// When it was let in, within its sale's window as the writer of the record knew it; millisecond precision. The gate decided by
    /// its own clock. A record whose time no window of its sale ever had is somebody else's: see `rules::settlement`.
    pub at: DateTime<Utc>,
}

/// What the ledger decided about an attempt. Settling the same attempt again answers the same, with one exception: an order
/// may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An order stands for it.
    Ordered,
    /// No unit was left in the ledger.
    SoldOut,
    /// The shopper has an order in this sale already, made by this other attempt.
    AlreadyOrdered { by: AttemptId },
    /// The account that it names does not exist: it was deleted after the press, or the ledger was set back to a moment
    /// before its registration.
    NoAccount,
    /// An order stood for it and has ended: it was deleted, or set to another status or shopper by hand. It holds no unit.
    Released,
    /// It names a sale or product that the ledger does not know; it is among the dead letters.
    Rejected,
}

/// An attempt with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    pub attempt: Attempt,
    pub outcome: Outcome,
}
