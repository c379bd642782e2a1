//! Sales as operators write them, and the changes that they make.

use chrono::{DateTime, Utc};

use super::super::{SaleSwitch, SaleTerms, SaleWindow};
use super::ActionId;
use crate::ids::{ProductId, SaleId};

/// What is stored of a sale's life. Whether it is scheduled, open or ended follows from its window and the gate's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleState {
    /// Seen by operators alone.
    Draft,
    Live,
    /// For good.
    Cancelled,
}

/// A sale to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSale {
    pub product: ProductId,
    pub window: SaleWindow,
    pub units: u32,
    /// For operators, at most 2,000 characters.
    pub note: String,
}

/// A sale as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleRecord {
    pub id: SaleId,
    pub product: ProductId,
    pub state: SaleState,
    /// Since when it has been paused.
    pub paused_at: Option<DateTime<Utc>>,
    pub window: SaleWindow,
    pub initial_stock: u64,
    /// Units for which no order stands.
    pub remaining_stock: u64,
    /// Goes up with every change of state, pause, window, product, `initial_stock` or note.
    pub version: u64,
    pub note: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl SaleRecord {
    /// What the gate is to apply.
    #[must_use]
    pub fn terms(&self) -> SaleTerms {
        SaleTerms {
            version: self.version,
            window: self.window,
            switch: self.switch(),
            total: self.initial_stock,
        }
    }

    fn switch(&self) -> SaleSwitch {
        match (self.state, self.paused_at) {
            (SaleState::Draft | SaleState::Cancelled, _) => SaleSwitch::Cancelled,
            (SaleState::Live, Some(_)) => SaleSwitch::Paused,
            (SaleState::Live, None) => SaleSwitch::On,
        }
    }
}

/// A change that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaleChange {
    Edit(SaleEdit),
    Publish,
    Pause,
    Resume,
    /// Sets the end to now.
    End,
    Cancel,
    AddUnits(u32),
}

/// New values for fields of a sale; `None` leaves the stored value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SaleEdit {
    /// The version that the caller saw.
    pub expected: u64,
    /// Only of a DRAFT.
    pub product: Option<ProductId>,
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
    /// Only of a DRAFT: units of a LIVE sale are added and withdrawn.
    pub units: Option<u32>,
    pub note: Option<String>,
}

/// A sale before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub before: SaleRecord,
    pub after: SaleRecord,
    /// `None` if nothing had to be changed.
    pub action: Option<ActionId>,
}
