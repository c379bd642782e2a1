//! The stock gate as a model, in both kinds: a server that outlives processes, can be emptied and restarted from an older
//! image of itself; and a gate that ends with its process, whose results are in the ledger's file.

mod port;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flashsale::{
    clock::Clock,
    engine::announcer::Announcer,
    ids::{AttemptId, LedgerId, ProductId, SaleId, UserId},
    port::{
        HeldUnit, Offset, Outcome, Partition, PurchaseResult, ResultEntry, Settlement, Standing,
    },
    rules::{
        sale::{Part, Sale},
        shopper_result::Holders,
    },
};

use super::{
    ledger::ModelLedger,
    results::{StoredResults, write_results},
};

/// The gate.
pub struct ModelGate {
    /// Whose sales these are.
    ledger: LedgerId,
    clock: Arc<dyn Clock>,
    kind: Kind,
    state: Arc<Mutex<State>>,
    announced: Arc<Announcer>,
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
    /// Those of each ledger.
    results: BTreeMap<LedgerId, StoredResults>,
    account_marks: BTreeMap<LedgerId, i64>,
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
            state: Arc::default(),
            announced: Arc::default(),
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
            state: Arc::default(),
            announced: Arc::default(),
        }
    }

    /// The same gate for the sales of this ledger.
    #[must_use]
    pub fn of_ledger(self, ledger: LedgerId) -> Self {
        Self { ledger, ..self }
    }

    /// The same server as a node of another ledger has it.
    #[must_use]
    pub fn beside(&self, ledger: LedgerId) -> Self {
        Self {
            ledger,
            clock: Arc::clone(&self.clock),
            kind: Kind::Server,
            state: Arc::clone(&self.state),
            announced: Arc::clone(&self.announced),
        }
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

    /// The highest account id that is noted.
    #[must_use]
    pub fn noted_accounts(&self) -> Option<i64> {
        self.state().account_marks.get(&self.ledger).copied()
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
        let units = self.units_of(sale).into_iter();
        let pending = units.filter(|unit| unit.standing == Standing::Pending);
        pending.map(|unit| unit.attempt).collect()
    }

    /// Every attempt that holds a unit of a sale.
    #[must_use]
    pub fn held_attempts(&self, sale: SaleId) -> BTreeSet<AttemptId> {
        let units = self.units_of(sale).into_iter();
        units.map(|unit| unit.attempt).collect()
    }

    /// Every unit of a sale that is held.
    fn units_of(&self, sale: SaleId) -> Vec<HeldUnit> {
        let units = self.with_own(sale, |kept, _| kept.sale.held_units());
        units.unwrap_or_default()
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

    /// What this gate knows of a sale's holders.
    fn holders_known(&self, sale: SaleId) -> Holders {
        let sure = self.with_sure(sale, |sale, _| sale.holders_known());
        let before = || self.with_own(sale, |kept, _| kept.sale.holders_known());
        match sure.or_else(before) {
            // Of a server that was restarted since: it may have forgotten some.
            Some(Holders::Complete) if sure.is_none() => Holders::InDoubt,
            known => known.unwrap_or(Holders::Absent),
        }
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
            Kind::Server => write_results(self.state().results_of(self.ledger), entries),
            Kind::InProcess { ledger, .. } => ledger.write_results(entries),
        }
    }

    /// What was written for a shopper, and of which sale.
    fn written(&self, user: UserId, product: ProductId) -> Option<(SaleId, PurchaseResult)> {
        match &self.kind {
            Kind::Server => {
                let key = (user, product);
                self.state().results_of(self.ledger).get(&key).copied()
            }
            Kind::InProcess { ledger, inherited } => {
                let stored = ledger.stored_result(user, product)?;
                // The shopper may be among those whom an earlier process accepted.
                let recovered =
                    stored.1 == PurchaseResult::Success || ledger.is_settled_up_to(inherited);
                recovered.then_some(stored)
            }
        }
    }
}

impl State {
    fn results_of(&mut self, ledger: LedgerId) -> &mut StoredResults {
        self.results.entry(ledger).or_default()
    }
}
