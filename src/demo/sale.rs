//! The demo sale: its window and its units, as the settings say.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::{
    config::SaleConfig,
    ids::{ProductId, SaleId},
    port::{NewSale, SaleRecord, SaleState, SaleWindow},
};

/// The note of the demo sale. A draft with it is one that was not published, since the process ended before.
const NOTE: &str = "Demo data";

/// Why the configured sale cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSale {
    #[error("the sale would end before it starts (FLASH_SALE_START_TIME, FLASH_SALE_END_TIME)")]
    Window,
    #[error("a sale has {} units at most (FLASH_SALE_TOTAL_STOCK)", i32::MAX)]
    Stock,
}

/// The sale to make, unless its product has one that is in the way.
#[derive(Debug, Clone)]
pub(super) struct DemoSale {
    pub(super) sku: String,
    window: SaleWindow,
    units: u32,
    /// A sale of the product is in the way if it ends after the start of this one and starts before this time. With a configured
    /// window these are the sales that overlap it, otherwise all running and future sales.
    clear_until: DateTime<Utc>,
}

/// What the sales of the product mean for the demo sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// There is a sale already.
    Taken(SaleId),
    /// An earlier run made the draft and did not publish it.
    Draft(SaleId),
}

impl DemoSale {
    /// The configured sale. By default it starts now, and ends 24 hours after its start.
    pub(super) fn of(config: &SaleConfig, now: DateTime<Utc>) -> Result<Self, InvalidSale> {
        let start = config.start.unwrap_or(now).trunc_subsecs(3);
        let end = config.end.unwrap_or(start + TimeDelta::hours(24));
        let end = end.trunc_subsecs(3);
        if end <= start {
            return Err(InvalidSale::Window);
        }
        if config.total_stock > i32::MAX.unsigned_abs() {
            return Err(InvalidSale::Stock);
        }
        let is_configured = config.start.is_some() || config.end.is_some();
        Ok(Self {
            sku: config.product_sku.clone(),
            window: SaleWindow { start, end },
            units: config.total_stock,
            // About 100 years, to cover all future sales.
            clear_until: if is_configured {
                end
            } else {
                start + TimeDelta::days(36_500)
            },
        })
    }

    pub(super) fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.window.end <= now
    }

    pub(super) fn draft(&self, product: ProductId) -> NewSale {
        NewSale {
            product,
            window: self.window,
            units: self.units,
            note: NOTE.to_owned(),
        }
    }

    /// Whether there is room beside these sales, which are all sales of the product. Of several in the way the one that starts
    /// first is named.
    pub(super) fn room(&self, sales: &[SaleRecord], now: DateTime<Utc>) -> Room {
        let is_unfinished =
            |sale: &&SaleRecord| sale.state == SaleState::Draft && sale.note == NOTE;
        let is_in_the_way = |sale: &&SaleRecord| {
            !is_unfinished(sale)
                && sale.window.start < self.clear_until
                && sale.window.end > self.window.start
        };
        let in_the_way = sales.iter().filter(is_in_the_way);
        if let Some(sale) = in_the_way.min_by_key(|sale| sale.window.start) {
            return Room::Taken(sale.id);
        }
        let mut drafts = sales.iter().filter(is_unfinished);
        match drafts.find(|sale| sale.window.end > now) {
            Some(sale) => Room::Draft(sale.id),
            None => Room::Free,
        }
    }
}
