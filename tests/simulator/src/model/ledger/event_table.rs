//! The events of sales that the model keeps.

use std::collections::BTreeMap;

use flashsale::{ids::SaleId, port::EventBatch};

/// The events, and how far consumers have got.
#[derive(Clone)]
pub(super) struct Events {
    pub(super) is_recording: bool,
    pub(super) numbers: BTreeMap<SaleId, u64>,
    pub(super) kept: BTreeMap<SaleId, Vec<EventBatch>>,
    pub(super) positions: BTreeMap<(String, SaleId), u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            is_recording: true,
            numbers: BTreeMap::new(),
            kept: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }
}
