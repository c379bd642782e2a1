//! Converts the columns of a sale to the values of the domain.

use chrono::{DateTime, SubsecRound, Utc};

use crate::port::SaleWindow;

/// A stock as the domain counts it; the table's checks keep it from being negative.
pub(super) fn units(stock: i32) -> u64 {
    u64::try_from(stock).unwrap_or(0)
}

/// Everything else counts in milliseconds: a window must come back from the gate as it went there.
pub(super) fn window(start: DateTime<Utc>, end: DateTime<Utc>) -> SaleWindow {
    SaleWindow {
        start: start.trunc_subsecs(3),
        end: end.trunc_subsecs(3),
    }
}

/// The table's check keeps it from being negative.
pub(super) fn version(version: i64) -> u64 {
    u64::try_from(version).unwrap_or(0)
}
