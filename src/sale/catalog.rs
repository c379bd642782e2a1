//! The catalog: every sale with its stock, in memory. Reading it takes no lock and does no I/O.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};

use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{SaleListing, SaleWindow},
};

use super::GateClock;

/// How far the gate's time may be off what this node takes it for. Within it the gate is asked: its clock opens the sale.
const CLOCK_MARGIN: Duration = Duration::from_secs(1);
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

/// What this node can say of an attempt by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The gate has to decide.
    AskGate {
        product: ProductId,
    },
    UnknownSale,
    NotStarted,
    Ended,
    /// Every unit is held, and this shopper holds none.
    SoldOut {
        product: ProductId,
    },
}

/// Every sale with its stock.
pub struct SaleCatalog {
    clock: Arc<GateClock>,
    sales: ArcSwap<BTreeMap<SaleId, Arc<CatalogSale>>>,
}

/// A sale in the catalog.
pub(super) struct CatalogSale {
    pub(super) listing: SaleListing,
    /// As the gate had it last.
    available: AtomicI64,
    sold_out: ArcSwapOption<SoldOut>,
}

/// The mark of a sale without a unit to give: everyone but its holders can be refused without asking.
pub(super) struct SoldOut {
    /// The gate's count of returned units when the mark was made: the mark holds while it stands still.
    pub(super) returns: u64,
    /// Sorted.
    pub(super) holders: Box<[UserId]>,
}

impl SaleCatalog {
    /// An empty catalog.
    #[must_use]
    pub fn new(clock: Arc<GateClock>) -> Self {
        Self {
            clock,
            sales: ArcSwap::default(),
        }
    }

    /// The sale to show: the active one; else the next to start; else the last that ended.
    #[must_use]
    pub fn current(&self) -> Option<SaleView> {
        let now = self.clock.guess();
        let sales = self.sales.load();
        let best = sales.values().min_by_key(|sale| {
            let window = sale.listing.window;
            match status(window, now) {
                SaleStatus::Active => (0, window.end - now),
                SaleStatus::Upcoming => (1, window.start - now),
                SaleStatus::Ended => (2, now - window.end),
            }
        })?;
        Some(best.view(now))
    }

    /// What can be said of an attempt without asking anybody.
    #[must_use]
    pub fn admit(&self, sale: SaleId, user: UserId) -> Admission {
        let sales = self.sales.load();
        let Some(listed) = sales.get(&sale) else {
            return Admission::UnknownSale;
        };
        let (product, window) = (listed.listing.product, listed.listing.window);
        let Some(now) = self.clock.now() else {
            return Admission::AskGate { product };
        };
        if now + CLOCK_MARGIN < window.start {
            return Admission::NotStarted;
        }
        if now >= window.end + CLOCK_MARGIN {
            return Admission::Ended;
        }
        match &*listed.sold_out.load() {
            // Within the margin of the window only the gate knows whether it is sold out or not open.
            Some(mark)
                if now >= window.start + CLOCK_MARGIN
                    && now + CLOCK_MARGIN < window.end
                    && !mark.holds(user) =>
            {
                Admission::SoldOut { product }
            }
            _ => Admission::AskGate { product },
        }
    }

    /// The sale of a product that started last: the one whose result a shopper asks for.
    #[must_use]
    pub fn latest_sale_of(&self, product: ProductId) -> Option<SaleId> {
        let now = self.clock.guess();
        let sales = self.sales.load();
        let started = |sale: &&Arc<CatalogSale>| {
            sale.listing.product == product && sale.listing.window.start <= now + CLOCK_MARGIN
        };
        sales
            .values()
            .filter(started)
            .max_by_key(|sale| sale.listing.window.start)
            .map(|sale| sale.listing.id)
    }

    /// When a sale takes attempts, if it is in the catalog.
    #[must_use]
    pub fn window_of(&self, sale: SaleId) -> Option<SaleWindow> {
        let sales = self.sales.load();
        sales.get(&sale).map(|listed| listed.listing.window)
    }

    /// The best guess at the gate's time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.guess()
    }

    /// When an attempt is made that the gate may let in: the best guess at its time, within the sale's window. If the gate lets
    /// it in, it was open by the gate's clock, whatever this machine's says.
    #[must_use]
    pub fn moment_in(&self, sale: SaleId) -> DateTime<Utc> {
        let (now, sales) = (self.now(), self.sales.load());
        let listed = sales.get(&sale);
        listed.map_or(now, |sale| sale.listing.window.nearest(now))
    }

    /// Puts the ledger's sales in the catalog; what is known of their stock stays.
    pub(super) fn set_listings(&self, listings: Vec<SaleListing>) {
        let before = self.sales.load();
        let listed = listings.into_iter().map(|listing| {
            let known = before.get(&listing.id);
            let sale = match known {
                Some(known) if known.listing == listing => Arc::clone(known),
                _ => Arc::new(CatalogSale {
                    available: AtomicI64::new(
                        known.map_or(UNKNOWN, |known| known.available.load(Ordering::Relaxed)),
                    ),
                    sold_out: ArcSwapOption::new(
                        known.and_then(|known| known.sold_out.load_full()),
                    ),
                    listing,
                }),
            };
            (sale.listing.id, sale)
        });
        self.sales.store(Arc::new(listed.collect()));
    }

    /// The sales whose stock is of interest now: open by the gate's clock, give or take the margin.
    pub(super) fn open_sales(&self) -> Vec<Arc<CatalogSale>> {
        let now = self.clock.guess();
        let sales = self.sales.load();
        let open = |sale: &&Arc<CatalogSale>| {
            now + CLOCK_MARGIN >= sale.listing.window.start
                && now < sale.listing.window.end + CLOCK_MARGIN
        };
        sales.values().filter(open).cloned().collect()
    }
}

impl CatalogSale {
    /// Notes what the gate has available, `None` if that is not known.
    pub(super) fn set_available(&self, available: Option<i64>) {
        self.available
            .store(available.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    pub(super) fn mark(&self) -> Option<Arc<SoldOut>> {
        self.sold_out.load_full()
    }

    pub(super) fn set_mark(&self, mark: Option<SoldOut>) {
        self.sold_out.store(mark.map(Arc::new));
    }

    fn view(&self, now: DateTime<Utc>) -> SaleView {
        let listing = &self.listing;
        let remaining_stock = match self.available.load(Ordering::Relaxed) {
            UNKNOWN => listing.remaining_stock,
            available => u64::try_from(available).unwrap_or(0),
        };
        SaleView {
            id: listing.id,
            status: status(listing.window, now),
            start: listing.window.start,
            end: listing.window.end,
            now,
            product: listing.product,
            product_name: listing.product_name.clone(),
            product_description: listing.product_description.clone(),
            initial_stock: listing.initial_stock,
            remaining_stock,
        }
    }
}

impl SoldOut {
    fn holds(&self, user: UserId) -> bool {
        self.holders.binary_search(&user).is_ok()
    }
}

fn status(window: SaleWindow, now: DateTime<Utc>) -> SaleStatus {
    if now < window.start {
        SaleStatus::Upcoming
    } else if now < window.end {
        SaleStatus::Active
    } else {
        SaleStatus::Ended
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::clock::{Clock, SystemClock};

    /// A gate's clock that says this now.
    fn set(clock: &GateClock, now: i64) {
        clock.note(Instant::now(), at(now), SystemClock.now());
    }

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    fn listing(id: i64, start: i64, end: i64) -> SaleListing {
        SaleListing {
            switch: crate::port::SaleSwitch::On,
            id: SaleId::new(id).unwrap(),
            product: ProductId::new(1).unwrap(),
            product_name: String::new(),
            product_description: String::new(),
            window: SaleWindow {
                start: at(start),
                end: at(end),
            },
            initial_stock: 10,
            remaining_stock: 7,
            version: 1,
        }
    }

    /// Without passing time, so that the clock says what it was set to.
    fn catalog_of(listings: Vec<SaleListing>) -> (SaleCatalog, Arc<GateClock>) {
        let clock = Arc::new(GateClock::new(Arc::new(SystemClock)));
        set(&clock, 0);
        let catalog = SaleCatalog::new(Arc::clone(&clock));
        catalog.set_listings(listings);
        (catalog, clock)
    }

    fn ids(value: i64) -> (SaleId, UserId) {
        (SaleId::new(value).unwrap(), UserId::new(value).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_active_sale_is_shown_then_the_next_then_the_last() {
        let (catalog, clock) = catalog_of(vec![listing(1, 100, 200), listing(2, 300, 400)]);
        for (now, id, expected) in [
            (0, 1, SaleStatus::Upcoming),
            (100, 1, SaleStatus::Active),
            (199, 1, SaleStatus::Active),
            (200, 2, SaleStatus::Upcoming),
            (300, 2, SaleStatus::Active),
            (400, 2, SaleStatus::Ended),
        ] {
            set(&clock, now);
            let view = catalog.current().unwrap();
            assert_eq!((view.id.value(), view.status), (id, expected), "at {now}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn near_the_edges_of_the_window_the_gate_decides() {
        let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
        let (sale, user) = ids(1);
        let ask = Admission::AskGate {
            product: ProductId::new(1).unwrap(),
        };
        for (now, expected) in [
            (98, Admission::NotStarted),
            (99, ask),
            (100, ask),
            (150, ask),
            (200, ask),
            (201, Admission::Ended),
        ] {
            set(&clock, now);
            assert_eq!(catalog.admit(sale, user), expected, "at {now}");
        }
        assert_eq!(catalog.admit(ids(9).0, user), Admission::UnknownSale);
    }

    #[tokio::test]
    async fn without_a_recent_comparison_the_gate_decides() {
        let clock = Arc::new(GateClock::new(Arc::new(SystemClock)));
        let catalog = SaleCatalog::new(clock);
        catalog.set_listings(vec![listing(1, 100, 200)]);
        let (sale, user) = ids(1);
        let product = ProductId::new(1).unwrap();
        assert_eq!(catalog.admit(sale, user), Admission::AskGate { product });
        assert_eq!(catalog.admit(ids(9).0, user), Admission::UnknownSale);
    }

    #[tokio::test(start_paused = true)]
    async fn the_sold_out_mark_refuses_everyone_but_the_holders() {
        let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
        set(&clock, 150);
        let product = ProductId::new(1).unwrap();
        let holders = vec![ids(3).1, ids(5).1].into_boxed_slice();
        catalog.open_sales()[0].set_mark(Some(SoldOut {
            returns: 0,
            holders,
        }));
        assert_eq!(
            catalog.admit(ids(1).0, ids(4).1),
            Admission::SoldOut { product }
        );
        assert_eq!(
            catalog.admit(ids(1).0, ids(5).1),
            Admission::AskGate { product }
        );
        set(&clock, 200);
        assert_eq!(
            catalog.admit(ids(1).0, ids(4).1),
            Admission::AskGate { product },
            "it may be over"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_keeps_what_is_known_of_the_stock() {
        let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
        set(&clock, 150);
        assert_eq!(
            catalog.current().unwrap().remaining_stock,
            7,
            "the ledger's, until the gate's is known"
        );
        catalog.open_sales()[0].set_available(Some(-1));
        catalog.set_listings(vec![SaleListing {
            remaining_stock: 6,
            ..listing(1, 100, 200)
        }]);
        assert_eq!(catalog.current().unwrap().remaining_stock, 0);
    }
}
