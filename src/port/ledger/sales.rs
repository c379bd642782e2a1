//! Sales as the ledger has them: listings for the catalog, snapshots for the gate.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ids::{ProductId, SaleId},
    port::{Holder, LedgerError, Movement, SaleSwitch, SaleTerms, SaleWindow},
};

/// What a sale's product costs and looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub image_url: Option<String>,
    /// In the currency's smallest unit.
    pub price_cents: i64,
    /// ISO 4217: three capital letters.
    pub currency: String,
    /// The price before the sale, in the same unit.
    pub prior_price_cents: Option<i64>,
}

/// A sale with its product, as the catalog shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleListing {
    pub id: SaleId,
    pub product: ProductId,
    pub product_name: String,
    pub product_description: String,
    pub offer: Offer,
    pub window: SaleWindow,
    pub switch: SaleSwitch,
    pub initial_stock: u64,
    /// Units for which no order stands.
    pub remaining_stock: u64,
    /// Goes up with every change of product, window, switch or `initial_stock`, also one by a hand-written statement.
    pub version: u64,
}

impl SaleListing {
    /// What the gate is to apply.
    #[must_use]
    pub fn terms(&self) -> SaleTerms {
        SaleTerms {
            version: self.version,
            window: self.window,
            switch: self.switch,
            total: self.initial_stock,
        }
    }
}

/// The state of a sale at one moment.
#[derive(Debug, Clone)]
pub struct SaleSnapshot {
    pub version: u64,
    pub window: SaleWindow,
    pub switch: SaleSwitch,
    pub initial: u64,
    pub remaining: u64,
    /// Everyone with an order.
    pub holders: Vec<Holder>,
    /// Withdrawals that are PENDING: their units are still in `initial` and `remaining`.
    pub movements: Vec<Movement>,
}

impl SaleSnapshot {
    /// What the gate is to apply.
    #[must_use]
    pub fn terms(&self) -> SaleTerms {
        SaleTerms {
            version: self.version,
            window: self.window,
            switch: self.switch,
            total: self.initial,
        }
    }
}

/// Reads of sales.
#[async_trait]
pub trait SaleListings: Send + Sync {
    /// All sales but drafts that end after `since`, and the last one that ended before it, by start.
    /// Windows are to the millisecond, as the gate keeps them.
    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError>;

    /// Remaining units, holders and PENDING withdrawals of a sale, consistent with each other. `None` when there is no such
    /// sale. A DRAFT is as a cancelled one.
    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError>;
}
