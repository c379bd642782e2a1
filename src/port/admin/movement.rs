//! Units on their way out of a sale.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::SaleId;

/// Withdrawals of a sale that can be PENDING at one time. One more is refused.
pub const MAX_PENDING_MOVEMENTS: usize = 100;

/// Names one withdrawal in ledger and gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MovementId(pub Uuid);

/// How many units may be taken instead of those that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovementMode {
    /// All or none.
    Exact,
    /// As many as are available.
    UpTo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovementState {
    /// The gate sets units aside, or has done so; the ledger has not lowered its numbers.
    Pending,
    Applied,
    /// No unit was available.
    Refused,
}

/// Units on their way out of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    pub id: MovementId,
    pub sale: SaleId,
    pub mode: MovementMode,
    pub requested: u32,
    /// How many were taken: 0 while it is PENDING.
    pub applied: u32,
    pub state: MovementState,
    pub requested_at: DateTime<Utc>,
}
