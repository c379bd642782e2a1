//! States of sales as the ledgers' tables spell them.

use crate::port::{SaleState, SaleSwitch};

/// The word in `flash_sales.state`.
pub(super) fn to_sql(state: SaleState) -> &'static str {
    match state {
        SaleState::Draft => "DRAFT",
        SaleState::Live => "LIVE",
        SaleState::Cancelled => "CANCELLED",
    }
}

/// The state behind a word. The check on the column allows no other words.
pub(super) fn from_sql(word: &str) -> SaleState {
    match word {
        "DRAFT" => SaleState::Draft,
        "LIVE" => SaleState::Live,
        _ => SaleState::Cancelled,
    }
}

/// What the gate is told of a sale with this state.
pub(super) fn switch(word: &str, is_paused: bool) -> SaleSwitch {
    match (from_sql(word), is_paused) {
        (SaleState::Draft | SaleState::Cancelled, _) => SaleSwitch::Cancelled,
        (SaleState::Live, true) => SaleSwitch::Paused,
        (SaleState::Live, false) => SaleSwitch::On,
    }
}
