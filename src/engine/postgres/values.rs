//! Converts the columns of a sale to the values of the domain.

use chrono::{DateTime, SubsecRound, Utc};

use crate::port::SaleWindow;

/// Everything else counts in milliseconds: a window must come back from the gate as it went there.
pub(super) fn window(start: DateTime<Utc>, end: DateTime<Utc>) -> SaleWindow {
    SaleWindow {
        start: start.trunc_subsecs(3),
        end: end.trunc_subsecs(3),
    }
}
