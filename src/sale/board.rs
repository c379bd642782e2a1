//! The board: every sale with its stock, in memory.

use chrono::{DateTime, Utc};

use crate::ids::{ProductId, SaleId};

/// Where a sale stands by the clock of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleStatus {
    Upcoming,
    Active,
    Ended,
}

/// A sale as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleView {
    pub id: SaleId,
    pub status: SaleStatus,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// When this view was made.
    pub now: DateTime<Utc>,
    pub product: ProductId,
    pub product_name: String,
    pub product_description: String,
    pub initial_stock: u64,
    /// Units that can be bought now, as of the last refresh (a fraction of a second ago).
    pub remaining_stock: u64,
}

/// Every sale with its stock.
pub struct SaleBoard {}

impl SaleBoard {
    /// The sale to show: the active one; else the next to start; else the last that ended.
    pub fn current(&self) -> Option<SaleView> {
        todo!()
    }
}
