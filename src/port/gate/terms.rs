//! The terms of a sale, and what operators change of an open one.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    ids::SaleId,
    port::{GateError, MovementId, MovementMode},
};

/// When a sale is open: `start <= now < end`, by the gate's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleWindow {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl SaleWindow {
    /// The moment within it that is nearest to another, to the millisecond: when somebody whom the gate let in must have come,
    /// if another clock says otherwise.
    #[must_use]
    pub fn nearest(&self, moment: DateTime<Utc>) -> DateTime<Utc> {
        let last = self.end - TimeDelta::milliseconds(1);
        moment.min(last).max(self.start)
    }
}

/// Whether a sale takes attempts within its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaleSwitch {
    #[default]
    On,
    /// An operator paused it.
    Paused,
    /// For good: it answers as one that has ended.
    Cancelled,
}

/// What an operator decides about a sale, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleTerms {
    /// Goes up with every change of the others. Settling changes none of them.
    pub version: u64,
    pub window: SaleWindow,
    pub switch: SaleSwitch,
    /// The units that there are: the ledger's initial stock.
    pub total: u64,
}

/// The answer to applying terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermsOutcome {
    /// Exactly these terms are in force.
    InForce,
    /// Other terms are in force, of this version: newer ones or, after the ledger was set back, others of the same version.
    /// Nothing was changed.
    OthersInForce { version: u64 },
    /// The sale is not open: it gets its terms when it is loaded.
    NotOpen,
}

/// The answer to setting units aside that leave a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawOutcome {
    /// So many are set aside, by this call or an earlier one. 0: none was available or, if all were to be, not enough.
    Withdrawn(u32),
    /// Nothing is set aside for the movement, and newer terms are in force than the caller saw: it may be closed and cleared
    /// since. Nothing was changed.
    Outdated,
    /// The sale is unknown, closed or being loaded: nothing is known, and nothing was changed.
    NotOpen,
}

/// Changes of an open sale by operators.
#[async_trait]
pub trait SaleTermsControl: Send + Sync {
    /// Applies terms to an open sale if their version is newer than that in force: what is available changes by as much as
    /// the total. More may be given out than the new total; then nothing is available, and the number is below zero.
    ///
    /// Units that are set aside for movements of `closed`, at most 1,000, become available at the same moment, unless other
    /// terms stay in force: `available += (total - total before) + cleared`. So the terms must be read from the ledger
    /// *after* those movements were closed there: read before, their total still counts the units that have left the sale.
    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError>;

    /// Sets units of an open sale aside for a movement that is PENDING in the ledger: nobody can reserve them. `UpTo`: as many
    /// as are available; `Exact`: all or none. Units that are held are never taken. Repeated, it answers the same
    /// number, until the movement is cleared by [`set_terms`](Self::set_terms). After that it would take units anew, which nobody asks
    /// for. So it takes none if newer terms are in force than `seen`, the version of the sale that the caller read from the
    /// ledger *before* it found the movement PENDING: whatever cleared the movement has raised the version above it.
    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError>;
}
