//! The catalog: every sale with its stock, in memory. Reading it takes no lock and does no I/O.

mod mark;
mod sale;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{GateStatus, SaleListing, SaleSwitch, SaleWindow},
};

use super::GateClock;

use self::sale::status;
pub use self::{
    mark::MARK_VALID_FOR,
    sale::{SaleStatus, SaleView},
};
pub(super) use self::{
    mark::{MarkCause, RefusalMark},
    sale::CatalogSale,
};

/// How far the gate's time may be off what this node takes it for. Within it the gate is asked: its clock opens the sale.
const CLOCK_MARGIN: Duration = Duration::from_secs(1);
/// How long after its end a sale is watched as an open one is: an operator may have made it longer a moment ago.
const WATCHED_AFTER_END: Duration = Duration::from_secs(10);
/// How old the listings may be for this node to refuse by the start of a sale. They are read every second.
const LISTING_VALID_FOR: Duration = Duration::from_secs(2);
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
    /// How long a sale's holders are known after its end.
    keep: Duration,
    sales: ArcSwap<BTreeMap<SaleId, Arc<CatalogSale>>>,
    /// When they were read from the ledger, in milliseconds of the gate's time.
    listed_at: AtomicI64,
}

impl SaleCatalog {
    /// An empty catalog.
    #[must_use]
    pub fn new(clock: Arc<GateClock>, keep: Duration) -> Self {
        Self {
            clock,
            keep,
            sales: ArcSwap::default(),
            listed_at: AtomicI64::new(i64::MIN),
        }
    }

    /// The sale to show: the active one; else the next to start; else the last that ended; a cancelled one if there is no
    /// other.
    #[must_use]
    pub fn current(&self) -> Option<SaleView> {
        let now = self.clock.guess();
        let sales = self.sales.load();
        let best = sales.values().min_by_key(|sale| {
            let window = sale.listing.window;
            match status(&sale.listing, now) {
                SaleStatus::Active => (0, window.end - now),
                SaleStatus::Upcoming => (1, window.start - now),
                SaleStatus::Ended if sale.is_cancelled() => (3, (now - window.end).abs()),
                SaleStatus::Ended => (2, now - window.end),
            }
        })?;
        Some(best.view(now))
    }

    /// What can be said of an attempt without asking anybody.
    ///
    /// After the end the gate is asked like before it, since a holder is told of the purchase, until it has said itself that
    /// the sale is over and who holds a unit.
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
        if now + CLOCK_MARGIN < window.start && !listed.is_cancelled() && self.is_fresh(now) {
            return Admission::NotStarted;
        }
        // No gate has it any more.
        if now >= window.end + self.keep + CLOCK_MARGIN {
            return Admission::Ended;
        }
        match &*listed.loaded_mark() {
            Some(mark) if mark.holds(user) => Admission::AskGate { product },
            Some(mark) if mark.cause == MarkCause::Ended => Admission::Ended,
            // Within the margin of the window only the gate knows whether it is sold out or not open.
            Some(mark)
                if now >= window.start + CLOCK_MARGIN
                    && now + CLOCK_MARGIN < window.end
                    && mark.is_valid(now) =>
            {
                Admission::SoldOut { product }
            }
            Some(_) | None => Admission::AskGate { product },
        }
    }

    /// Notes that a shopper holds a unit: a mark that does not know it is from before a unit came back.
    pub fn note_holder(&self, sale: SaleId, user: UserId) {
        if let Some(listed) = self.sales.load().get(&sale)
            && let Some(mark) = &*listed.loaded_mark()
            && !mark.holds(user)
        {
            listed.set_mark(None);
        }
    }

    /// The sale of a product that started last: the one whose result a shopper asks for. A cancelled one counts like every other,
    /// since those whom it let in are told of it, unless the gate has said that nobody holds a unit of it; then only if there
    /// is no other.
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
            .max_by_key(|sale| (!sale.came_to_nothing(), sale.listing.window.start))
            .map(|sale| sale.listing.id)
    }

    /// When a sale takes attempts, if it is in the catalog.
    #[must_use]
    pub fn window_of(&self, sale: SaleId) -> Option<SaleWindow> {
        let sales = self.sales.load();
        sales.get(&sale).map(|listed| listed.listing.window)
    }

    /// True if a sale is over by the ledger's listing: its window, by the gate's clock, or for good.
    #[must_use]
    pub fn has_ended(&self, sale: SaleId) -> bool {
        let (now, sales) = (self.clock.now(), self.sales.load());
        sales.get(&sale).is_some_and(|listed| {
            let end = listed.listing.window.end + CLOCK_MARGIN;
            listed.is_cancelled() || now.is_some_and(|now| now >= end)
        })
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

    /// What this makes of every sale.
    pub(super) fn shown<T>(&self, show: impl Fn(&CatalogSale) -> T) -> Vec<T> {
        self.sales.load().values().map(|sale| show(sale)).collect()
    }

    /// The same of one.
    pub(super) fn shown_one<T>(
        &self,
        sale: SaleId,
        show: impl FnOnce(&CatalogSale) -> T,
    ) -> Option<T> {
        self.sales.load().get(&sale).map(|sale| show(sale))
    }

    /// How long sales stay after their end.
    pub(super) fn keep(&self) -> Duration {
        self.keep
    }

    /// True if the ledger's sales were read within the last seconds: an operator may have moved the start of one since.
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now
            .timestamp_millis()
            .abs_diff(self.listed_at.load(Ordering::Relaxed));
        u128::from(age) <= LISTING_VALID_FOR.as_millis()
    }

    /// Puts the ledger's sales in the catalog, as they were when the gate's clock said `read_at`; what is known of their stock stays.
    pub(super) fn set_listings(&self, listings: Vec<SaleListing>, read_at: DateTime<Utc>) {
        let before = self.sales.load();
        let listed = listings.into_iter().map(|listing| {
            let known = before.get(&listing.id);
            let sale = match known {
                Some(known) if known.listing == listing => Arc::clone(known),
                _ => Arc::new(CatalogSale::new(listing, known.map(Arc::as_ref))),
            };
            (sale.listing.id, sale)
        });
        self.sales.store(Arc::new(listed.collect()));
        self.listed_at
            .store(read_at.timestamp_millis(), Ordering::Relaxed);
    }

    /// The sales whose stock and holders are of interest now: open by the gate's clock, give or take the margin, and those
    /// that have ended and whose holders are still told. `all`: also those that are known to have ended a while ago.
    pub(super) fn watched_sales(&self, all: bool) -> Vec<Arc<CatalogSale>> {
        let now = self.clock.guess();
        let sales = self.sales.load();
        let watched = |sale: &&Arc<CatalogSale>| {
            let window = sale.listing.window;
            let has_begun = now + CLOCK_MARGIN >= window.start || sale.is_cancelled();
            // A cancelled sale takes no attempts ever again, whatever its window.
            let is_over = now >= window.end + WATCHED_AFTER_END || sale.is_cancelled();
            let is_settled = is_over && sale.is_known_to_have_ended();
            has_begun && now < window.end + self.keep && (all || !is_settled)
        };
        sales.values().filter(watched).cloned().collect()
    }

    /// Why a sale gives no units, by the gate's own terms. `None`: it may give some, or this node does not know the gate's
    /// time.
    pub(super) fn cause(&self, status: &GateStatus) -> Option<MarkCause> {
        let GateStatus::Open {
            window,
            switch,
            available,
            ..
        } = status
        else {
            return None;
        };
        let is_over = |now| now >= window.end + CLOCK_MARGIN;
        match switch {
            SaleSwitch::Cancelled => Some(MarkCause::Ended),
            _ if self.clock.now().is_some_and(is_over) => Some(MarkCause::Ended),
            SaleSwitch::On if *available <= 0 => Some(MarkCause::SoldOut),
            // Whoever is refused while it is paused is not told that it is sold out.
            SaleSwitch::On | SaleSwitch::Paused => None,
        }
    }
}

#[cfg(test)]
mod tests;
