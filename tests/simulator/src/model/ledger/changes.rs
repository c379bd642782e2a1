//! What operators change of a sale: as `rules::lifecycle` allows it, or by statements written by hand.

use chrono::{DateTime, Utc};
use flashsale::{
    ids::{AttemptId, SaleId, UserId},
    port::{
        EndedOrder, Holder, Movement, MovementState, Restock, SaleChange, SaleListing, SaleRecord,
        SaleState, SaleSwitch, SaleWindow,
    },
    rules::lifecycle,
};

use super::{ModelLedger, Tables};

impl ModelLedger {
    /// Makes a change that the rules allow at `now`. The sale afterwards; `None` if they do not allow it.
    pub fn change_sale(
        &self,
        sale: SaleId,
        change: &SaleChange,
        now: DateTime<Utc>,
    ) -> Option<SaleListing> {
        self.change_record(sale, change, now)?;
        self.listing(sale)
    }

    /// The same with the sale as operators see it, before and after.
    pub fn change_record(
        &self,
        sale: SaleId,
        change: &SaleChange,
        now: DateTime<Utc>,
    ) -> Option<(SaleRecord, SaleRecord)> {
        let at = self.clock.now();
        let mut tables = self.tables();
        let before = tables.record(sale)?;
        let after = lifecycle::apply(&before, change, now).ok()?;
        if after != before {
            tables.store(&after, at);
        }
        let after = tables.record(sale)?;
        Some((before, after))
    }

    /// A sale as operators see it.
    #[must_use]
    pub fn record(&self, sale: SaleId) -> Option<SaleRecord> {
        self.tables().record(sale)
    }

    /// The sale and shopper of an order that stands.
    #[must_use]
    pub fn order_of(&self, attempt: AttemptId) -> Option<(SaleId, UserId)> {
        let tables = self.tables();
        let mut orders = tables.orders.iter();
        orders.find_map(|(of, made_by)| (*made_by == attempt).then_some(*of))
    }

    /// As by a statement written by hand: the switch of a sale, unless it is cancelled for good.
    pub fn set_switch(&self, sale: SaleId, switch: SaleSwitch) {
        self.update(sale, |row| {
            if row.switch != SaleSwitch::Cancelled {
                row.switch = switch;
            }
        });
    }

    /// As by a statement written by hand: the end of a sale, if it is behind the start.
    pub fn set_end(&self, sale: SaleId, end: DateTime<Utc>) {
        self.update(sale, |row| {
            if end > row.window.start {
                row.window.end = end;
            }
        });
    }

    fn update(&self, sale: SaleId, change: impl FnOnce(&mut SaleListing)) {
        let at = self.clock.now();
        let mut tables = self.tables();
        let Some(row) = tables.sales.get(&sale) else {
            return;
        };
        let mut after = row.clone();
        change(&mut after);
        if after != *row {
            tables.store(&record(&after, at), at);
        }
    }

    /// Ends an order; with `Restock::No` the sale loses the unit at the same moment. Its attempt, if there was one.
    pub fn cancel_order(&self, sale: SaleId, user: UserId, restock: Restock) -> Option<AttemptId> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let before = tables.before();
        let attempt = tables.orders.remove(&(sale, user))?;
        if let Some(row) = tables.sales.get_mut(&sale) {
            match restock {
                Restock::Yes => row.remaining_stock += 1,
                Restock::No => {
                    row.initial_stock -= 1;
                    row.version += 1;
                }
            }
        }
        let holder = Holder { user, attempt };
        tables.ended.push(EndedOrder { sale, holder });
        tables.note_events(&before, now);
        Some(attempt)
    }

    /// The sale as it is listed.
    #[must_use]
    pub fn listing(&self, sale: SaleId) -> Option<SaleListing> {
        self.tables().sales.get(&sale).cloned()
    }

    /// True if these are its newest terms, no ended order is left to be taken out of the gate, and no withdrawal is under way.
    #[must_use]
    pub fn gate_is_up_to_date(&self, sale: SaleId, version: u64) -> bool {
        let tables = self.tables();
        let newest = tables.sales.get(&sale).map(|row| row.version);
        let is_under_way = |row: &Movement| row.sale == sale && row.state == MovementState::Pending;
        newest == Some(version)
            && tables.ended.iter().all(|order| order.sale != sale)
            && !tables.movements.values().any(is_under_way)
    }
}

impl Tables {
    fn record(&self, sale: SaleId) -> Option<SaleRecord> {
        let updated = self.updated.get(&sale).copied().unwrap_or_default();
        Some(record(self.sales.get(&sale)?, updated))
    }

    /// Every change of terms raises the version, and widens the time in which attempts are taken.
    fn store(&mut self, after: &SaleRecord, at: DateTime<Utc>) {
        let before = self.before();
        let Some(row) = self.sales.get_mut(&after.id) else {
            return;
        };
        row.window = after.window;
        row.switch = after.terms().switch;
        row.initial_stock = after.initial_stock;
        row.remaining_stock = after.remaining_stock;
        row.version += 1;
        if let Some(admitted) = self.admitted.get_mut(&after.id) {
            *admitted = SaleWindow {
                start: admitted.start.min(after.window.start),
                end: admitted.end.max(after.window.end),
            };
        }
        self.note_events(&before, at);
    }
}

fn record(row: &SaleListing, updated_at: DateTime<Utc>) -> SaleRecord {
    SaleRecord {
        id: row.id,
        product: row.product,
        state: match row.switch {
            SaleSwitch::Cancelled => SaleState::Cancelled,
            SaleSwitch::On | SaleSwitch::Paused => SaleState::Live,
        },
        paused_at: (row.switch == SaleSwitch::Paused).then_some(DateTime::UNIX_EPOCH),
        window: row.window,
        initial_stock: row.initial_stock,
        remaining_stock: row.remaining_stock,
        version: row.version,
        note: String::new(),
        created_at: DateTime::UNIX_EPOCH,
        updated_at,
    }
}
