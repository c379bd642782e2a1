//! The stock gate: the hot path, which decides atomically who holds a unit of which sale.
//!
//! For every sale the gate keeps the units still available, the *holders* (one attempt a shopper) and the *pending*
//! attempts: held, and not yet recorded as settled. When every settlement is recorded,
//! `available + pending + withdrawn = remaining units of the ledger`; every operation here keeps that balance. At every moment
//! `available + holders + withdrawn` is the sale's total. Units are *withdrawn* when they were set aside to leave the sale,
//! each for one movement of the ledger, until the ledger has lowered its numbers.
//!
//! What the gate does is split by role, one file a role; [`StockGate`] is all of them.

mod account_marks;
mod announcements;
mod audit;
mod loading;
mod pending;
mod probe;
mod recording;
mod reservations;
mod results;
mod status;
mod terms;

pub use account_marks::AccountMarks;
pub use announcements::{
    Announcement, AnnouncementStream, News, ResultAnnouncements, ResultReading, ShopperResult,
};
pub use audit::{GateAudit, HeldUnit};
pub use loading::{
    CloseReason, CloseRequest, LoadStart, LoadStep, LoadToken, SaleLoading, UnloadOutcome,
};
pub use pending::{ClaimOutcome, PendingAttempts, PendingEntry};
pub use probe::GateProbe;
pub use recording::{EndOrdersOutcome, OutcomeRecording};
pub use reservations::{ReleaseOutcome, Reservations, ReserveOutcome};
pub use results::{PurchaseResult, ResultEntry, ResultQuery, ShopperResults};
pub use status::{GateReads, GateStatus};
pub use terms::{
    SaleSwitch, SaleTerms, SaleTermsControl, SaleWindow, TermsOutcome, WithdrawOutcome,
};

use crate::ids::{AttemptId, UserId};

/// A whole gate, for the places that put a process together. Everything else asks for the roles that it uses.
///
/// Every method of every role is idempotent by attempt id, because a client may send it twice after a broken connection,
/// and answers within a bounded time.
pub trait StockGate:
    Reservations
    + ShopperResults
    + ResultAnnouncements
    + GateReads
    + OutcomeRecording
    + PendingAttempts
    + SaleLoading
    + SaleTermsControl
    + GateAudit
    + GateProbe
    + AccountMarks
{
}

impl<G> StockGate for G where
    G: Reservations
        + ShopperResults
        + ResultAnnouncements
        + GateReads
        + OutcomeRecording
        + PendingAttempts
        + SaleLoading
        + SaleTermsControl
        + GateAudit
        + GateProbe
        + AccountMarks
{
}

/// The gate did not do what it was asked, or is not known to have done it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GateError {
    /// Nothing took place: there is no connection, or the gate refused before it changed anything.
    #[error("the stock gate does not serve: {0}")]
    Refused(String),
    /// It did not answer, or answered with an error. Whether the operation took place is unknown.
    #[error("the stock gate: {0}")]
    Unknown(String),
}

/// A shopper who holds a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub user: UserId,
    pub attempt: AttemptId,
}

/// How far a held attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Accepted; the ledger's decision is not recorded yet.
    Pending,
    /// An order stands.
    Success,
}
