//! Results that are stored for shoppers, by the gate as a server or by the ledger of one process.

use std::collections::BTreeMap;

use flashsale::{
    ids::{ProductId, SaleId, UserId},
    port::{PurchaseResult, ResultEntry},
};

/// What was written for shoppers.
pub(super) type StoredResults = BTreeMap<(UserId, ProductId), (SaleId, PurchaseResult)>;

/// Writes results; a FAILED never over a SUCCESS of the same sale.
pub(super) fn write_results(results: &mut StoredResults, entries: &[ResultEntry]) {
    for entry in entries {
        let key = (entry.user, entry.product);
        let bought = results.get(&key) == Some(&(entry.sale, PurchaseResult::Success));
        if !(bought && entry.result == PurchaseResult::Failed) {
            results.insert(key, (entry.sale, entry.result));
        }
    }
}

/// Forgets those that still stand like this.
pub(super) fn forget_results(results: &mut StoredResults, entries: &[ResultEntry]) {
    for entry in entries {
        let key = (entry.user, entry.product);
        if results.get(&key) == Some(&(entry.sale, entry.result)) {
            results.remove(&key);
        }
    }
}
