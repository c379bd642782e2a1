//! The stock gate as a model, in both kinds: a server that outlives processes, can be emptied and restarted from an older
//! image of itself; and a gate that ends with its process, whose results are in the ledger's file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::ledger::ModelLedger;
use crate::{
    clock::Clock,
    ids::{AttemptId, LedgerId, ProductId, SaleId, UserId},
    port::{
        Contradiction, GateError, GateStatus, Holder, Holding, LoadToken, Offset, Outcome,
        Partition, PendingEntry, PurchaseResult, ReleaseOutcome, ReserveOutcome, ResultEntry,
        SaleTerms, Settlement, Standing, StockGate,
    },
    rules::sale::{Part, Sale},
};

/// What was written for shoppers.
pub(super) type Results = BTreeMap<(UserId, ProductId), (SaleId, PurchaseResult)>;

/// The gate.
pub struct ModelGate {
    /// Whose sales these are.
    ledger: LedgerId,
    clock: Arc<dyn Clock>,
    kind: Kind,
    state: Mutex<State>,
}

enum Kind {
    /// A server beside all processes.
    Server,
    /// Memory of one process.
    InProcess {
        ledger: Arc<ModelLedger>,
        /// Where the log ended when the process started.
        inherited: BTreeMap<Partition, Offset>,
    },
}

/// What a gate has in memory at some moment, to restart it from.
#[derive(Clone, Default)]
pub struct GateImage(State);

#[derive(Clone, Default)]
struct State {
    /// Counts the restarts of the server.
    run: u64,
    sales: BTreeMap<SaleId, Kept>,
    results: Results,
    account_mark: Option<i64>,
}

#[derive(Clone, Default)]
struct Kept {
    sale: Sale,
    /// The server's run in which the sale was loaded.
    run: u64,
    /// The ledger that it was loaded from.
    ledger: Option<LedgerId>,
}

impl ModelGate {
    /// As Redis is.
    #[must_use]
    pub fn server(clock: Arc<dyn Clock>) -> Self {
        Self {
            ledger: LedgerId::NONE,
            clock,
            kind: Kind::Server,
            state: Mutex::default(),
        }
    }

    /// As the embedded gate is. `inherited` is where the log ends that earlier processes wrote.
    #[must_use]
    pub fn in_process(
        clock: Arc<dyn Clock>,
        ledger: Arc<ModelLedger>,
        inherited: BTreeMap<Partition, Offset>,
    ) -> Self {
        Self {
            ledger: LedgerId::NONE,
            clock,
            kind: Kind::InProcess { ledger, inherited },
            state: Mutex::default(),
        }
    }

    /// The same gate for the sales of this ledger.
    #[must_use]
    pub fn of_ledger(self, ledger: LedgerId) -> Self {
        Self { ledger, ..self }
    }

    /// Everything in it was loaded from another ledger, as when a new database is given the server of an old one.
    pub fn hand_over_from(&self, other: LedgerId) {
        for kept in self.state().sales.values_mut() {
            kept.ledger = Some(other);
        }
    }

    /// True if the sale was opened and not closed since.
    #[must_use]
    pub fn is_open(&self, sale: SaleId) -> bool {
        self.with_own(sale, |kept, _| kept.sale.is_open()) == Some(true)
    }

    /// Forgets a part of what it keeps of a sale.
    pub fn lose(&self, sale: SaleId, part: Part) {
        self.with(sale, |kept, _| kept.sale.lose(part));
    }

    /// Forgets everything, and goes on running.
    pub fn empty(&self) {
        let mut state = self.state();
        *state = State {
            run: state.run,
            ..State::default()
        };
    }

    /// What it has now.
    #[must_use]
    pub fn image(&self) -> GateImage {
        GateImage(self.state().clone())
    }

    /// Restarts with what it had then.
    pub fn restart_from(&self, image: &GateImage) {
        let mut state = self.state();
        let run = state.run + 1;
        *state = State {
            run,
            ..image.0.clone()
        };
    }

    /// Every attempt that holds a unit of a sale and is not known to be settled.
    #[must_use]
    pub fn pending(&self, sale: SaleId) -> BTreeSet<AttemptId> {
        // Also those that are not listed because the list was lost.
        let holdings = self.with_own(sale, |kept, _| kept.sale.holdings());
        let mut pending = holdings.unwrap_or_default();
        pending.retain(|holding| holding.standing == Standing::Pending);
        pending.iter().map(|holding| holding.attempt).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// Does something with a sale of this ledger; `None` if it is unknown, or another ledger's.
    fn with_own<T>(&self, id: SaleId, work: impl FnOnce(&mut Kept, i64) -> T) -> Option<T> {
        let own = self.ledger;
        let is_own = |kept: &Kept| kept.ledger.is_none_or(|ledger| ledger == own);
        self.with(id, |kept, now| is_own(kept).then(|| work(kept, now)))?
    }

    /// Does something with a sale; `None` if it is unknown.
    fn with<T>(&self, id: SaleId, work: impl FnOnce(&mut Kept, i64) -> T) -> Option<T> {
        let now = self.now();
        let mut state = self.state();
        if state.sales.get(&id)?.sale.is_expired(now) {
            state.sales.remove(&id);
            return None;
        }
        state.sales.get_mut(&id).map(|kept| work(kept, now))
    }

    /// The same, unless the server was restarted since the sale was loaded and may have forgotten something.
    fn with_sure<T>(&self, id: SaleId, work: impl FnOnce(&mut Sale, i64) -> T) -> Option<T> {
        let run = self.state().run;
        self.with_own(id, |kept, now| {
            (kept.run == run).then(|| work(&mut kept.sale, now))
        })?
    }

    /// How a shopper's unit of a sale stands, if they hold one.
    fn standing(&self, sale: SaleId, user: UserId) -> Option<Standing> {
        self.with_own(sale, |kept, _| kept.sale.standing(user))?
    }

    fn result_of(&self, settlement: &Settlement) -> Option<ResultEntry> {
        let attempt = &settlement.attempt;
        let ended = self.with_own(attempt.sale, |kept, _| kept.sale.has_ended(settlement));
        if ended == Some(true) {
            return None;
        }
        let result = match settlement.outcome {
            Outcome::Ordered | Outcome::AlreadyOrdered { .. } => PurchaseResult::Success,
            Outcome::SoldOut => PurchaseResult::Failed,
            // The shopper may buy again.
            Outcome::Released => return None,
            // A record that names nothing real may name a real shopper.
            Outcome::NoAccount | Outcome::Rejected => {
                let awaited =
                    self.with_own(attempt.sale, |kept, _| kept.sale.is_pending(attempt.user));
                if !awaited.unwrap_or(false) {
                    return None;
                }
                PurchaseResult::Failed
            }
        };
        Some(ResultEntry {
            sale: attempt.sale,
            product: attempt.product,
            user: attempt.user,
            result,
        })
    }

    fn write(&self, entries: &[ResultEntry]) {
        match &self.kind {
            Kind::Server => write_results(&mut self.state().results, entries),
            Kind::InProcess { ledger, .. } => ledger.write_results(entries),
        }
    }

    /// What was written for a shopper, and of which sale.
    fn written(&self, user: UserId, product: ProductId) -> Option<(SaleId, PurchaseResult)> {
        match &self.kind {
            Kind::Server => self.state().results.get(&(user, product)).copied(),
            Kind::InProcess { ledger, inherited } => {
                let told = ledger.told(user, product)?;
                // The shopper may be among those whom an earlier process accepted.
                let recovered =
                    told.1 == PurchaseResult::Success || ledger.is_settled_up_to(inherited);
                recovered.then_some(told)
            }
        }
    }
}

/// What a holder is told.
fn told(standing: Standing) -> Option<PurchaseResult> {
    match standing {
        Standing::Pending => None,
        Standing::Success => Some(PurchaseResult::Success),
    }
}

/// Writes results; a FAILED never over a SUCCESS of the same sale.
pub(super) fn write_results(results: &mut Results, entries: &[ResultEntry]) {
    for entry in entries {
        let key = (entry.user, entry.product);
        let bought = results.get(&key) == Some(&(entry.sale, PurchaseResult::Success));
        if !(bought && entry.result == PurchaseResult::Failed) {
            results.insert(key, (entry.sale, entry.result));
        }
    }
}

/// Forgets those that still stand like this.
pub(super) fn forget_results(results: &mut Results, entries: &[ResultEntry]) {
    for entry in entries {
        let key = (entry.user, entry.product);
        if results.get(&key) == Some(&(entry.sale, entry.result)) {
            results.remove(&key);
        }
    }
}

#[async_trait]
impl StockGate for ModelGate {
    fn outlives_process(&self) -> bool {
        matches!(self.kind, Kind::Server)
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        let outcomes = self.with_sure(sale, |sale, now| {
            let answer = |holder: &Holder| sale.reserve(*holder, now);
            asked.iter().map(answer).collect()
        });
        Ok(outcomes.unwrap_or_else(|| vec![ReserveOutcome::Closed; asked.len()]))
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        let outcome = self.with_own(sale, |kept, _| kept.sale.release(holder));
        Ok(outcome.unwrap_or(ReleaseOutcome::NotHeld))
    }

    /// The results first, the sale second, as in every gate.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError> {
        let results: Vec<_> = settlements
            .iter()
            .filter_map(|settlement| self.result_of(settlement))
            .collect();
        self.write(&results);
        self.with_own(sale, |kept, _| kept.sale.record(settlements));
        Ok(())
    }

    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.write(results);
        Ok(())
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        if let Some(standing) = sale.and_then(|sale| self.standing(sale, user)) {
            return Ok(told(standing));
        }
        let Some((of, result)) = self.written(user, product) else {
            return Ok(None);
        };
        if result == PurchaseResult::Success {
            return Ok(Some(result));
        }
        if let Some(standing) = self.standing(of, user) {
            return Ok(told(standing));
        }
        // Who was refused may have got a unit later, and nobody knows while the sale is not in force.
        let known = self.with_own(of, |_, _| ()).is_some();
        let in_force = self.with_sure(of, |sale, _| {
            sale.is_open() && !sale.status().is_contradictory()
        }) == Some(true);
        Ok((in_force || !known).then_some(result))
    }

    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        if let Some(status) = self.with_sure(sale, |sale, _| sale.status()) {
            return Ok(status);
        }
        let before = self.with_own(sale, |kept, _| kept.sale.status());
        Ok(match before {
            None | Some(GateStatus::Unknown) => GateStatus::Unknown,
            Some(GateStatus::Open { pending, .. } | GateStatus::Closed { pending }) => {
                GateStatus::Closed { pending }
            }
        })
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        let users = self.with_own(sale, |kept, _| kept.sale.users());
        let mut users = users.unwrap_or_default();
        users.sort_unstable();
        Ok(users)
    }

    async fn close(&self, sale: SaleId, anyway: bool) -> Result<Option<Contradiction>, GateError> {
        let run = self.state().run;
        let closed = self.with_own(sale, |kept, _| {
            let reason = if kept.run == run {
                anyway.then_some(Contradiction::Told)
            } else {
                Some(Contradiction::Restarted)
            };
            kept.sale.close(reason)
        });
        Ok(closed.flatten())
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        let listed = self.with_own(sale, |kept, now| kept.sale.relist(now));
        Ok(listed.unwrap_or(0))
    }

    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<bool, GateError> {
        let told: Vec<_> = ended
            .iter()
            .map(|holder| ResultEntry {
                sale,
                product,
                user: holder.user,
                result: PurchaseResult::Success,
            })
            .collect();
        self.forget_results(&told).await?;
        let taken = self.with_sure(sale, |sale, _| sale.end_orders(ended));
        Ok(taken.unwrap_or(false))
    }

    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        let entries = self.with_own(sale, |kept, now| kept.sale.overdue(now, age, limit));
        Ok(entries.unwrap_or_default())
    }

    async fn claim(&self, sale: SaleId, holders: &[Holder]) -> Result<Vec<bool>, GateError> {
        let claimed = self.with_own(sale, |kept, now| {
            let claim = |holder: &Holder| kept.sale.claim(*holder, now);
            holders.iter().map(claim).collect()
        });
        Ok(claimed.unwrap_or_else(|| vec![false; holders.len()]))
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<bool, GateError> {
        self.with(sale, |_, _| ()); // forgets it if its time is over
        if self.with_own(sale, |_, _| ()).is_none() {
            self.state().sales.insert(sale, Kept::default()); // unknown, or another ledger's
        }
        let run = self.state().run;
        let ledger = self.ledger;
        let begun = self.with(sale, |kept, now| {
            let begun = kept.sale.begin_load(token, now, lease);
            if begun {
                kept.run = run;
                kept.ledger = Some(ledger);
            }
            begun
        });
        Ok(begun.unwrap_or(false))
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<bool, GateError> {
        let loaded = self.with_own(sale, |kept, now| {
            kept.sale.load_holders(token, holders, now)
        });
        Ok(loaded.unwrap_or(false))
    }

    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        expires: DateTime<Utc>,
    ) -> Result<bool, GateError> {
        let micros = self.clock.now().timestamp_micros();
        let run = self.state().run;
        let opened = self.with_own(sale, |kept, _| {
            // After a restart during the load a part of it may be forgotten.
            kept.run == run && kept.sale.open(token, terms, remaining, expires, micros)
        });
        Ok(opened.unwrap_or(false))
    }

    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        expires: DateTime<Utc>,
    ) -> Result<bool, GateError> {
        let set = self.with_own(sale, |kept, _| kept.sale.set_terms(terms, expires));
        Ok(set.unwrap_or(false))
    }

    async fn holdings(&self, sale: SaleId) -> Result<Vec<Holding>, GateError> {
        let mut holdings = self
            .with(sale, |kept, _| kept.sale.holdings())
            .unwrap_or_default();
        holdings.sort_unstable_by_key(|holding| holding.user);
        Ok(holdings)
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        let stored = |user: &UserId| match &self.kind {
            Kind::Server => {
                let written = self.state().results.get(&(*user, product)).copied();
                written.filter(|(of, _)| *of == sale)
            }
            Kind::InProcess { ledger, .. } => {
                ledger.told(*user, product).filter(|(of, _)| *of == sale)
            }
        };
        Ok(users
            .iter()
            .map(|user| stored(user).map(|(_, result)| result))
            .collect())
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        match &self.kind {
            Kind::Server => forget_results(&mut self.state().results, results),
            Kind::InProcess { ledger, .. } => ledger.forget_results(results),
        }
        Ok(())
    }

    async fn unload(&self, sale: SaleId) -> Result<bool, GateError> {
        let unloaded = self.with_own(sale, |kept, _| kept.sale.unload());
        Ok(unloaded.unwrap_or(true))
    }

    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        Ok(self.clock.now())
    }

    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        Ok(match self.kind {
            Kind::Server => self.state().account_mark,
            Kind::InProcess { .. } => Some(0),
        })
    }

    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError> {
        let mut state = self.state();
        state.account_mark = state.account_mark.max(Some(to));
        Ok(())
    }

    async fn ping(&self) -> Result<(), GateError> {
        Ok(())
    }
}
