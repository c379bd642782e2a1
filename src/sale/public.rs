//! Sales as everybody may see them, without a token: from memory, and without figures that tell competitors how a sale goes.

use chrono::{DateTime, Utc};

use super::{SaleCatalog, catalog::CatalogSale};
use crate::{
    ids::{ProductId, SaleId},
    port::{Offer, SaleSwitch, SaleWindow},
};

/// The last units are said to be few from here on, also of a large sale's tenth.
const FEW: u64 = 10;

/// Where a sale stands by the gate's clock, as this node knows it. Drafts are not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicPhase {
    Scheduled,
    Open,
    /// Within its window: an operator paused it.
    Paused,
    Ended,
    Cancelled,
}

/// How much can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockLevel {
    Plenty,
    /// At most a tenth of the sale's units, or 10 units.
    Few,
    None,
}

/// A sale with its product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicSale {
    pub id: SaleId,
    pub phase: PublicPhase,
    pub window: SaleWindow,
    pub product: ProductId,
    pub product_name: String,
    pub product_description: String,
    pub offer: Offer,
    pub stock: StockLevel,
}

/// A sale of which shoppers may have a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleWithResults {
    pub id: SaleId,
    pub product: ProductId,
    pub phase: PublicPhase,
    pub window: SaleWindow,
}

impl SaleCatalog {
    /// All sales that are scheduled, open, paused, or ended not longer ago than results can be read, by their start.
    #[must_use]
    pub fn public_sales(&self) -> Vec<PublicSale> {
        let (now, keep) = (self.now(), self.keep());
        let mut sales = self.shown(|sale| public(sale, now));
        sales.retain(|sale| match sale.phase {
            PublicPhase::Scheduled | PublicPhase::Open | PublicPhase::Paused => true,
            PublicPhase::Ended => now < sale.window.end + keep,
            PublicPhase::Cancelled => false,
        });
        sales.sort_by_key(|sale| (sale.window.start, sale.id));
        sales
    }

    /// The same sales, and those that were cancelled, in the order of their ids: all of which shoppers may have a result.
    #[must_use]
    pub fn sales_with_results(&self) -> Vec<SaleWithResults> {
        let (now, keep) = (self.now(), self.keep());
        let mut sales = self.shown(|sale| SaleWithResults {
            id: sale.listing.id,
            product: sale.listing.product,
            phase: phase(sale.listing.switch, sale.listing.window, now),
            window: sale.listing.window,
        });
        sales.retain(|sale| now < sale.window.end + keep);
        sales
    }

    /// One of them, or one that was cancelled.
    #[must_use]
    pub fn public_sale(&self, sale: SaleId) -> Option<PublicSale> {
        let now = self.now();
        self.shown_one(sale, |sale| public(sale, now))
    }
}

fn public(sale: &CatalogSale, now: DateTime<Utc>) -> PublicSale {
    let listing = &sale.listing;
    let phase = phase(listing.switch, listing.window, now);
    PublicSale {
        id: listing.id,
        phase,
        window: listing.window,
        product: listing.product,
        product_name: listing.product_name.clone(),
        product_description: listing.product_description.clone(),
        offer: listing.offer.clone(),
        stock: level(phase, sale.remaining_stock(), listing.initial_stock),
    }
}

fn phase(switch: SaleSwitch, window: SaleWindow, now: DateTime<Utc>) -> PublicPhase {
    match switch {
        SaleSwitch::Cancelled => PublicPhase::Cancelled,
        _ if now < window.start => PublicPhase::Scheduled,
        _ if now >= window.end => PublicPhase::Ended,
        SaleSwitch::Paused => PublicPhase::Paused,
        SaleSwitch::On => PublicPhase::Open,
    }
}

fn level(phase: PublicPhase, remaining: u64, initial: u64) -> StockLevel {
    match phase {
        PublicPhase::Ended | PublicPhase::Cancelled => StockLevel::None,
        _ if remaining == 0 => StockLevel::None,
        _ if remaining <= FEW || remaining <= initial / 10 => StockLevel::Few,
        PublicPhase::Scheduled | PublicPhase::Open | PublicPhase::Paused => StockLevel::Plenty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    #[test]
    fn the_phase_follows_from_window_and_switch() {
        let window = SaleWindow {
            start: at(100),
            end: at(200),
        };
        for (switch, now, expected) in [
            (SaleSwitch::On, 99, PublicPhase::Scheduled),
            (SaleSwitch::On, 100, PublicPhase::Open),
            (SaleSwitch::On, 200, PublicPhase::Ended),
            (SaleSwitch::Paused, 99, PublicPhase::Scheduled),
            (SaleSwitch::Paused, 150, PublicPhase::Paused),
            (SaleSwitch::Paused, 200, PublicPhase::Ended),
            (SaleSwitch::Cancelled, 99, PublicPhase::Cancelled),
        ] {
            assert_eq!(phase(switch, window, at(now)), expected, "{switch:?} {now}");
        }
    }

    #[test]
    fn the_last_units_are_few() {
        let open = |remaining, initial| level(PublicPhase::Open, remaining, initial);
        assert_eq!(open(0, 1_000), StockLevel::None);
        assert_eq!(open(1, 1_000), StockLevel::Few);
        assert_eq!(open(100, 1_000), StockLevel::Few);
        assert_eq!(open(101, 1_000), StockLevel::Plenty);
        assert_eq!(open(10, 20), StockLevel::Few);
        assert_eq!(open(11, 20), StockLevel::Plenty);
        assert_eq!(level(PublicPhase::Ended, 5, 20), StockLevel::None);
    }
}
