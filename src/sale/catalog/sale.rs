//! A sale in the catalog: its listing, what the gate has available, and its mark.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use arc_swap::{ArcSwapOption, Guard};
use chrono::{DateTime, Utc};

use super::mark::{MarkCause, RefusalMark};
use crate::{
    ids::{ProductId, SaleId},
    port::{SaleListing, SaleSwitch},
};

/// The gate's stock is not known.
const UNKNOWN: i64 = i64::MIN;

/// Where a sale stands by the gate's clock, as this node knows it.
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

/// A sale in the catalog.
pub(in crate::sale) struct CatalogSale {
    pub(in crate::sale) listing: SaleListing,
    /// As the gate had it last.
    available: AtomicI64,
    mark: ArcSwapOption<RefusalMark>,
}

impl CatalogSale {
    /// A sale as it is listed now; what is known of its stock stays.
    pub(in crate::sale) fn new(listing: SaleListing, known: Option<&Self>) -> Self {
        let available = known.map_or(UNKNOWN, |known| known.available.load(Ordering::Relaxed));
        Self {
            available: AtomicI64::new(available),
            mark: ArcSwapOption::new(known.and_then(Self::mark)),
            listing,
        }
    }

    /// The mark by a guard, which costs less than a counted reference: each attempt reads it.
    pub(in crate::sale) fn loaded_mark(&self) -> Guard<Option<Arc<RefusalMark>>> {
        self.mark.load()
    }

    /// Notes what the gate has available, `None` if that is not known.
    pub(in crate::sale) fn set_available(&self, available: Option<i64>) {
        self.available
            .store(available.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    pub(in crate::sale) fn mark(&self) -> Option<Arc<RefusalMark>> {
        self.mark.load_full()
    }

    pub(in crate::sale) fn set_mark(&self, mark: Option<RefusalMark>) {
        self.mark.store(mark.map(Arc::new));
    }

    /// The gate said so, and named the holders.
    pub(in crate::sale) fn is_known_to_have_ended(&self) -> bool {
        let mark = self.mark.load();
        mark.as_ref()
            .is_some_and(|mark| mark.cause == MarkCause::Ended)
    }

    /// Cancelled, and nobody holds a unit of it.
    pub(in crate::sale) fn came_to_nothing(&self) -> bool {
        let mark = self.mark.load();
        let nobody = mark.as_ref().is_some_and(|mark| mark.holders.is_empty());
        self.is_cancelled() && nobody && self.is_known_to_have_ended()
    }

    pub(in crate::sale) fn is_cancelled(&self) -> bool {
        self.listing.switch == SaleSwitch::Cancelled
    }

    /// Units that can be bought: the gate's number or, until that is known, the ledger's.
    pub(in crate::sale) fn remaining_stock(&self) -> u64 {
        match self.available.load(Ordering::Relaxed) {
            UNKNOWN => self.listing.remaining_stock,
            available => u64::try_from(available).unwrap_or(0),
        }
    }

    pub(in crate::sale) fn view(&self, now: DateTime<Utc>) -> SaleView {
        let listing = &self.listing;
        SaleView {
            id: listing.id,
            status: status(listing, now),
            start: listing.window.start,
            end: listing.window.end,
            now,
            product: listing.product,
            product_name: listing.product_name.clone(),
            product_description: listing.product_description.clone(),
            initial_stock: listing.initial_stock,
            remaining_stock: self.remaining_stock(),
        }
    }
}

pub(in crate::sale) fn status(listing: &SaleListing, now: DateTime<Utc>) -> SaleStatus {
    let window = listing.window;
    if now >= window.end || listing.switch == SaleSwitch::Cancelled {
        SaleStatus::Ended
    } else if now < window.start {
        SaleStatus::Upcoming
    } else {
        SaleStatus::Active
    }
}
