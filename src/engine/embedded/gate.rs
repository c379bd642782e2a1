//! The stock gate in memory. It ends with its process and is loaded anew from the ledger at the next start.
//!
//! Here is the port; what happens to one sale is decided in `rules::sale`, by the same rules as in Redis's scripts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    results::{ResultStore, StoredResult},
    values::millis,
};
use crate::{
    clock::Clock,
    engine::announcer::Announcer,
    ids::{ProductId, SaleId, UserId},
    port::{
        AnnouncementStream, ClaimOutcome, CloseReason, CloseRequest, EndOrdersOutcome, GateError,
        GateStatus, HeldUnit, Holder, LoadStart, LoadStep, LoadToken, Movement, MovementId,
        MovementMode, Outcome, PendingEntry, PurchaseResult, ReleaseOutcome, ReserveOutcome,
        ResultAnnouncements, ResultEntry, SaleTerms, Settlement, ShopperResult, Standing,
        StockGate, TermsOutcome, UnloadOutcome, WithdrawOutcome,
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

    /// The results that must be stored, since no holder shows them: of those who failed, and of those who have an order
    /// in a sale that is not known.
    fn results_to_store(&self, id: SaleId, settlements: &[Settlement]) -> Vec<ResultEntry> {
        let to_store = |settlement: &Settlement| {
            let attempt = &settlement.attempt;
            let ended = self.with(id, |sale, _| sale.has_ended(settlement));
            if ended == Some(true) {
                return None;
            }
            let by_holder = self
                .with(id, |sale, _| sale.holder_shows_result(settlement))
                .unwrap_or(false);
            let result = match settlement.outcome {
                Outcome::Ordered | Outcome::AlreadyOrdered { .. } => PurchaseResult::Success,
                Outcome::SoldOut => PurchaseResult::Failed,
                // The shopper may buy again.
                Outcome::Released => return None,
                // A record that names nothing real may name a real shopper.
                Outcome::NoAccount | Outcome::Rejected => {
                    let awaited = self.with(id, |sale, _| sale.is_pending(attempt.user));
                    if !awaited.unwrap_or(false) {
                        return None;
                    }
                    PurchaseResult::Failed
                }
            };
            (!by_holder).then_some(ResultEntry {
                sale: attempt.sale,
                product: attempt.product,
                user: attempt.user,
                result,
            })
        };
        settlements.iter().filter_map(to_store).collect()
    }

    /// The sales that are known to be the product's in which the shopper has an order.
    fn ordered(&self, user: UserId, product: ProductId) -> Vec<SaleId> {
        let mut ids: Vec<SaleId> = {
            let sales = self.sales.read().unwrap_or_else(PoisonError::into_inner);
            sales.keys().copied().collect()
        };
        ids.retain(|id| {
            self.with(*id, |sale, _| sale.is_of(product) && sale.has_order(user))
                .unwrap_or(false)
        });
        ids
    }

    /// How the unit stands that a shopper holds in a sale, if they do.
    fn standing(&self, sale: SaleId, user: UserId) -> Option<Standing> {
        self.with(sale, |sale, _| sale.standing(user)).flatten()
    }
}

/// The result that a holder reads; none while it is pending.
fn result_of(standing: Standing) -> Option<PurchaseResult> {
    match standing {
        Standing::Pending => None,
        Standing::Success => Some(PurchaseResult::Success),
    }
}

#[async_trait]
impl ResultAnnouncements for MemoryGate {
    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        Ok(self.announced.follow(sales))
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<ShopperResult>>, GateError> {
        let stored = self.results.stored(sale, product, users.to_vec()).await?;
        let loading = self.with(sale, |sale, _| sale.is_loading()) == Some(true);
        let told = users.iter().zip(stored).map(|(user, stored)| {
            match (self.standing(sale, *user), stored) {
                (Some(Standing::Pending), _) => Some(ShopperResult::Pending),
                (Some(Standing::Success), _) | (None, Some(PurchaseResult::Success)) => {
                    Some(ShopperResult::Success)
                }
                // Nobody knows who holds a unit while the sale is being loaded.
                (None, Some(PurchaseResult::Failed)) if !loading => Some(ShopperResult::Failed),
                (None, _) => None,
            }
        });
        Ok(told.collect())
    }
}

#[async_trait]
impl StockGate for MemoryGate {
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

    /// The results first, the sale second: a pending entry is what brings a half-done recording back to the relay, so
    /// it must be the last thing to go.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError> {
        self.results
            .write(self.results_to_store(sale, settlements))
            .await?;
        self.with(sale, |sale, _| sale.record(settlements));
        let ordered = |user| self.standing(sale, user) == Some(Standing::Success);
        let users = || settlements.iter().map(|settlement| settlement.attempt.user);
        self.announced.tell(sale, users, ordered);
        Ok(())
    }

    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.results.write(results.to_vec()).await?;
        for of_sale in results.chunk_by(|a, b| a.sale == b.sale) {
            if let Some(ResultEntry { sale, .. }) = of_sale.first() {
                let users = || of_sale.iter().map(|entry| entry.user);
                self.announced.tell(*sale, users, |_| false);
            }
        }
        Ok(())
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        if let Some(standing) = sale.and_then(|sale| self.standing(sale, user)) {
            return Ok(result_of(standing));
        }
        let ordered = self.ordered(user, product);
        let Some(StoredResult { sale, result }) = self.results.read(user, product, ordered).await?
        else {
            return Ok(None);
        };
        if result == PurchaseResult::Success {
            return Ok(Some(result));
        }
        // Who was refused in a sale may have got a unit of it later; and nobody knows while it is being loaded.
        let loading = self.with(sale, |sale, _| sale.is_loading());
        let written = (loading != Some(true)).then_some(result);
        Ok(self.standing(sale, user).map_or(written, result_of))
    }

    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        let status = self.with(sale, |sale, _| sale.status());
        Ok(status.unwrap_or(GateStatus::Unknown))
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        Ok(self.with(sale, |sale, _| sale.users()).unwrap_or_default())
    }

    /// Memory is lost with the process or not at all; but somebody may have a reason of their own.
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError> {
        let is_unconditional = request == CloseRequest::Unconditional;
        let reason = is_unconditional.then_some(CloseReason::Requested);
        Ok(self.with(sale, |sale, _| sale.close(reason)).flatten())
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        Ok(self.with(sale, Sale::relist).unwrap_or(0))
    }

    /// The results first, as in [`record`](Self::record).
    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError> {
        let results = ended.iter().map(|holder| ResultEntry {
            sale,
            product,
            user: holder.user,
            result: PurchaseResult::Success,
        });
        self.results.forget(results.collect()).await?;
        let taken = self.with(sale, |sale, _| sale.end_orders(ended));
        Ok(taken.unwrap_or(EndOrdersOutcome::NotOpen))
    }

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

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError> {
        if self.with(sale, |_, _| ()).is_none() {
            let mut sales = self.sales.write().unwrap_or_else(PoisonError::into_inner);
            sales.entry(sale).or_default();
        }
        let begun = self.with(sale, |sale, now| sale.begin_load(token, now, lease));
        Ok(begun.unwrap_or(LoadStart::OpenOrLoading))
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError> {
        let loaded = self.with(sale, |sale, now| sale.load_holders(token, holders, now));
        Ok(loaded.unwrap_or(LoadStep::Superseded))
    }

    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
    ) -> Result<LoadStep, GateError> {
        let micros = self.clock.now().timestamp_micros();
        let opened = self.with(sale, |sale, _| {
            sale.open(token, terms, remaining, movements, expires, micros)
        });
        Ok(opened.unwrap_or(LoadStep::Superseded))
    }

    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError> {
        let set = self.with(sale, |sale, _| sale.set_terms(terms, closed, expires));
        Ok(set.unwrap_or(TermsOutcome::NotOpen))
    }

    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError> {
        let outcome = self.with(sale, |sale, _| sale.withdraw(movement, units, mode, seen));
        Ok(outcome.unwrap_or(WithdrawOutcome::NotOpen))
    }

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

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.results.forget(results.to_vec()).await
    }

    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError> {
        let unloaded = self.with(sale, |sale, _| sale.unload());
        Ok(unloaded.unwrap_or(UnloadOutcome::Unloaded))
    }

    /// In one process there is one clock.
    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        Ok(self.clock.now())
    }

    /// No note is needed: nothing here outlives a data file that is set back.
    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        Ok(Some(0))
    }

    async fn raise_account_mark(&self, _: i64) -> Result<(), GateError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), GateError> {
        Ok(())
    }
}
