//! The stock gate in memory. It ends with its process and is loaded anew from the ledger at the next start.
//!
//! Here are the sales and the short roles of the port; `loading` loads and changes sales, `results` records what the ledger
//! decided and answers shoppers. What happens to one sale is decided in `rules::sale`, by the same rules as in Redis's scripts.

mod loading;
mod results;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{results::ResultStore, values::millis};
use crate::{
    clock::Clock,
    engine::announcer::Announcer,
    ids::{ProductId, SaleId, UserId},
    port::{
        AccountMarks, ClaimOutcome, GateAudit, GateError, GateProbe, GateReads, GateStatus,
        HeldUnit, Holder, PendingAttempts, PendingEntry, PurchaseResult, ReleaseOutcome,
        Reservations, ReserveOutcome,
    },
    rules::sale::Sale,
};

/// The gate in memory.
pub struct MemoryGate {
    clock: Arc<dyn Clock>,
    results: ResultStore,
    /// Each sale behind a lock of its own, so that sales do not wait for each other.
    sales: RwLock<HashMap<SaleId, Arc<Mutex<Sale>>>>,
    announced: Announcer,
}

impl MemoryGate {
    pub(super) fn new(clock: Arc<dyn Clock>, results: ResultStore) -> Self {
        Self {
            clock,
            results,
            sales: RwLock::default(),
            announced: Announcer::default(),
        }
    }

    /// Does something with a sale, and the time in milliseconds; `None` if the sale is unknown. No lock of this gate is
    /// ever held while anything is waited for, and nothing under it can panic half way.
    fn with<T>(&self, id: SaleId, work: impl FnOnce(&mut Sale, i64) -> T) -> Option<T> {
        let now = millis(self.clock.now());
        let known = self.known(id)?;
        let mut sale = known.lock().unwrap_or_else(PoisonError::into_inner);
        if sale.is_expired(now) {
            drop(sale);
            self.forget(id, &known, now);
            return None;
        }
        Some(work(&mut sale, now))
    }

    /// Removes a sale, unless it was made anew or its window was moved meanwhile.
    fn forget(&self, id: SaleId, expired: &Arc<Mutex<Sale>>, now: i64) {
        let mut sales = self.sales.write().unwrap_or_else(PoisonError::into_inner);
        let is_expired = |sale: &Arc<Mutex<Sale>>| {
            let sale = sale.lock().unwrap_or_else(PoisonError::into_inner);
            sale.is_expired(now)
        };
        if let Some(there) = sales.get(&id)
            && Arc::ptr_eq(there, expired)
            && is_expired(there)
        {
            sales.remove(&id);
        }
    }

    fn known(&self, id: SaleId) -> Option<Arc<Mutex<Sale>>> {
        let sales = self.sales.read().unwrap_or_else(PoisonError::into_inner);
        sales.get(&id).cloned()
    }
}

#[async_trait]
impl Reservations for MemoryGate {
    fn is_durable(&self) -> bool {
        false
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        let outcomes = self.with(sale, |sale, now| {
            let answer = |holder: &Holder| sale.reserve(*holder, now);
            asked.iter().map(answer).collect()
        });
        Ok(outcomes.unwrap_or_else(|| vec![ReserveOutcome::Closed; asked.len()]))
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        let outcome = self.with(sale, |sale, _| sale.release(holder));
        Ok(outcome.unwrap_or(ReleaseOutcome::NotHeld))
    }
}

#[async_trait]
impl GateReads for MemoryGate {
    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        let status = self.with(sale, |sale, _| sale.status());
        Ok(status.unwrap_or(GateStatus::Unknown))
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        Ok(self.with(sale, |sale, _| sale.users()).unwrap_or_default())
    }
}

#[async_trait]
impl PendingAttempts for MemoryGate {
    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        let entries = self.with(sale, |sale, now| sale.overdue(now, age, limit));
        Ok(entries.unwrap_or_default())
    }

    async fn claim(
        &self,
        sale: SaleId,
        holders: &[Holder],
    ) -> Result<Vec<ClaimOutcome>, GateError> {
        let claimed = self.with(sale, |sale, now| {
            let claim = |holder: &Holder| sale.claim(*holder, now);
            holders.iter().map(claim).collect()
        });
        Ok(claimed.unwrap_or_else(|| vec![ClaimOutcome::NotPending; holders.len()]))
    }
}

#[async_trait]
impl GateAudit for MemoryGate {
    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError> {
        let held_units = self.with(sale, |sale, _| sale.held_units());
        Ok(held_units.unwrap_or_default())
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        self.results.stored(sale, product, users.to_vec()).await
    }
}

#[async_trait]
impl GateProbe for MemoryGate {
    /// In one process there is one clock.
    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        Ok(self.clock.now())
    }

    async fn ping(&self) -> Result<(), GateError> {
        Ok(())
    }
}

#[async_trait]
impl AccountMarks for MemoryGate {
    /// No note is needed: nothing here outlives a data file that is set back.
    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        Ok(Some(0))
    }

    async fn raise_account_mark(&self, _: i64) -> Result<(), GateError> {
        Ok(())
    }
}
