//! Reads of the state of a sale.

use async_trait::async_trait;

use crate::{
    ids::{SaleId, UserId},
    port::{GateError, MovementId, SaleSwitch, SaleWindow},
};

/// What the gate knows of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateStatus {
    /// Nothing: it was never loaded, or the gate was emptied.
    Unknown,
    /// Known but closed: being loaded, or closed because the server behind the gate was restarted since it was loaded and
    /// may have lost writes.
    Closed { pending: u64 },
    Open {
        window: SaleWindow,
        switch: SaleSwitch,
        /// Units that can be reserved now. Below zero while the ledger has sold more than the gate knew.
        available: i64,
        pending: u64,
        /// Everyone who holds a unit, pending or ordered. At every moment `available + holders + withdrawn` is the total.
        holders: u64,
        /// Units set aside, by movement, in the order of ids. Also movements for which none could be. Empty nearly always.
        withdrawn: Vec<(MovementId, u64)>,
        /// Raised whenever a unit comes back, an order of an unknown shopper is recorded, window or switch change, or the sale is
        /// opened; it never takes an earlier value. While it stands still and the sale gives no units (none is available, it is
        /// over or cancelled), the set of holders can only shrink.
        holders_epoch: u64,
        /// Of the terms in force; 0 if the sale was loaded by a program that knew no terms.
        version: u64,
        /// Of the terms in force. Another number than the ledger's while a change is on its way.
        total: i64,
        /// What the gate keeps is complete, as far as one look can tell.
        complete: bool,
    },
}

impl GateStatus {
    /// True if what the gate keeps of an open sale contradicts itself: some of it was lost.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        match self {
            Self::Open {
                available,
                holders,
                total,
                complete,
                ..
            } => {
                let given = holders.saturating_add(self.withdrawn_units());
                !complete || i64::try_from(given).is_ok_and(|given| available + given != *total)
            }
            Self::Unknown | Self::Closed { .. } => false,
        }
    }

    /// Units that are set aside, of all movements.
    #[must_use]
    pub fn withdrawn_units(&self) -> u64 {
        match self {
            Self::Open { withdrawn, .. } => withdrawn.iter().map(|(_, units)| units).sum(),
            Self::Unknown | Self::Closed { .. } => 0,
        }
    }
}

/// Reads of a sale as it stands now.
#[async_trait]
pub trait GateReads: Send + Sync {
    /// The state of a sale. Reads only.
    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError>;

    /// All who hold a unit, in no order; at least those who hold one during the whole call.
    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError>;
}
