//! Why a change by an operator was not made.

use super::KeyStanding;
use crate::{ids::SaleId, port::LedgerError};

/// Why a change was not made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("there is no such product, sale, order or movement")]
    NotFound,
    /// The caller saw an earlier version than the one that is stored.
    #[error("the stored version is {current}")]
    Stale { current: u64 },
    /// What it is now does not allow the change, for example a sale that has ended. The text is for people.
    #[error("{0}")]
    NotAllowed(String),
    /// Another LIVE sale of the product overlaps.
    #[error("sale {other} of the same product is in this window")]
    Overlaps { other: SaleId },
    /// Another product has the SKU.
    #[error("another product has this SKU")]
    SkuTaken,
    /// The idempotency key was used before: the change of that first request stands, or is under way.
    #[error("the idempotency key was used before")]
    KeyUsed(KeyStanding),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
