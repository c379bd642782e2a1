//! A repair, as it is planned and carried out.

use crate::{
    ids::SaleId,
    order::audit::{RepairAction, RepairOutcome},
};

/// A repair of a sale, and its outcome; `None` if it was not tried.
pub(in super::super) struct Repair {
    pub(super) sale: SaleId,
    pub(super) action: RepairAction,
    pub(super) outcome: Option<RepairOutcome>,
}
