//! The world of one history: its time, its chances, the engines that everybody shares, and what was seen.

mod losses;
mod steering;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use flashsale::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Ledger, Offset, Partition, SaleListing, SaleTerms, SaleWindow},
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    chance::Chance,
    clock::{SimulatedClock, at},
    fate::Fate,
    lock::lock,
    plan::{Kind, Plan, Server},
    press::{Poll, Press},
    report::OPERATIONS,
};
use crate::model::{GateImage, LedgerImage, ModelGate, ModelLedger, ModelLog};

/// The workers' group.
pub(super) const GROUP: &str = "workers";

/// Everything that outlives processes.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) sale: SaleId,
    pub(super) product: ProductId,
    began: Instant,
    chance: Mutex<Chance>,
    ids: Arc<AtomicU64>,
    pub(super) log: Arc<ModelLog>,
    pub(super) ledger: Arc<ModelLedger>,
    /// The gate that holds now: of the server, or of the process that runs.
    gate: Mutex<Arc<ModelGate>>,
    image: Mutex<GateImage>,
    backup: Mutex<Option<LedgerImage>>,
    /// What is on its way between machines, and the shoppers: nothing that a process owns.
    pub(super) outside: TaskTracker,
    /// Calls that are still to take effect although nobody waits for them.
    pub(super) flying: AtomicUsize,
    faults: AtomicBool,
    away: Mutex<BTreeMap<u8, (u64, bool)>>,
    pub(super) seen: Mutex<Seen>,
    trace: Option<Mutex<Vec<String>>>,
}

/// What was seen from outside, for the judgement.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // each is one thing that was seen
pub(super) struct Seen {
    pub(super) presses: Vec<Press>,
    pub(super) polls: Vec<Poll>,
    /// How often each operation of an operator was made.
    pub(super) operations: [u64; OPERATIONS.len()],
    /// Promises that were broken, as soon as it was seen.
    pub(super) broken: Vec<String>,
    /// When the gate lost something.
    pub(super) gate_losses: Vec<u64>,
    /// Attempts whose last trace was destroyed: neither in the ledger, nor in the log, nor in the gate after a fault.
    pub(super) erased: BTreeSet<AttemptId>,
    /// Attempts that a restart of the gate from an older image brought back.
    pub(super) resurrected: BTreeSet<AttemptId>,
    /// Attempts that were in the log, to be settled, when the gate lost what it had: they come before any new one.
    pub(super) owed: BTreeSet<AttemptId>,
    /// Attempts whose ids somebody gave to another shopper's attempt.
    pub(super) copied: BTreeSet<AttemptId>,
    /// Every attempt of a record by another hand.
    pub(super) by_hand: BTreeSet<AttemptId>,
    /// Records of another hand that must end among the dead letters, and which attempts they are, if any.
    pub(super) poison: Vec<(Partition, Offset, Option<AttemptId>)>,
    pub(super) log_made_anew: bool,
    /// Attempts by another hand, that no gate has seen.
    pub(super) past_the_gate: BTreeSet<AttemptId>,
    /// Attempts whose orders an operator ended.
    pub(super) ended: BTreeSet<AttemptId>,
    /// Whose they were.
    pub(super) ended_of: BTreeSet<UserId>,
    /// Units came back, or were added or taken away, by an operator.
    pub(super) units_moved: bool,
    /// A key of the gate was lost: what it has may contradict itself.
    pub(super) key_lost: bool,
    /// Shoppers whose accounts were deleted, or were lost when the ledger was set back.
    pub(super) without_account: BTreeSet<UserId>,
    /// Shoppers whose orders were lost when the ledger was set back.
    pub(super) lost_orders_of: BTreeSet<UserId>,
    /// Attempts that got no order, and whose outcome was lost when the ledger was set back: settled anew, with the units and accounts
    /// of then, they may get one.
    pub(super) refusals_lost: BTreeSet<AttemptId>,
    /// Ids of accounts of which a shopper was told.
    pub(super) registered: BTreeSet<UserId>,
    /// Those among them that gate and ledger have both lost: they may be handed out again.
    pub(super) forgotten: BTreeSet<UserId>,
    /// The ledger's terms of the sale, each with the time from which on it had them.
    pub(super) terms: Vec<(u64, SaleTerms)>,
    /// Since when nobody can get a unit, because an operator was told so.
    pub(super) halted: Option<u64>,
    pub(super) times_set_back: u32,
    /// More units may have been given out than there are, by other hands: accepted attempts may find none.
    pub(super) may_be_short: bool,
}

impl World {
    pub(super) fn new(plan: Plan, mut chance: Chance, traced: bool) -> Arc<Self> {
        let began = Instant::now();
        let ids = Arc::new(AtomicU64::new(0));
        let clock = Arc::new(SimulatedClock::new(began, Arc::clone(&ids)));
        let ledger = Arc::new(ModelLedger::new(clock.clone()));
        let sale = SaleId::try_from(1).unwrap_or_else(|_| unreachable!("1 is an id"));
        let product = ProductId::try_from(1).unwrap_or_else(|_| unreachable!("1 is an id"));
        ledger.add_sale(SaleListing {
            switch: flashsale::port::SaleSwitch::On,
            id: sale,
            product,
            product_name: "a product".to_owned(),
            product_description: String::new(),
            offer: flashsale::port::Offer::default(),
            window: window(&plan),
            initial_stock: plan.stock,
            remaining_stock: plan.stock,
            version: 1,
        });
        let server = ModelGate::server(clock).of_ledger(ledger.id());
        let terms = ledger.listing(sale).map(|row| (0, row.terms()));
        let seen = Seen {
            terms: terms.into_iter().collect(),
            ..Seen::default()
        };
        Arc::new(Self {
            sale,
            product,
            began,
            chance: Mutex::new(chance.fork()),
            ids,
            log: Arc::new(ModelLog::new(plan.partitions)),
            ledger,
            gate: Mutex::new(Arc::new(server)),
            image: Mutex::default(),
            backup: Mutex::default(),
            outside: TaskTracker::new(),
            flying: AtomicUsize::new(0),
            faults: AtomicBool::new(true),
            away: Mutex::default(),
            seen: Mutex::new(seen),
            trace: traced.then(Mutex::default),
            plan,
        })
    }

    /// When the sale is open.
    pub(super) fn window(&self) -> SaleWindow {
        window(&self.plan)
    }

    /// A clock for another machine.
    pub(super) fn clock(&self) -> Arc<SimulatedClock> {
        Arc::new(SimulatedClock::new(self.began, Arc::clone(&self.ids)))
    }

    /// Milliseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn chance(&self) -> MutexGuard<'_, Chance> {
        lock(&self.chance)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Writes a line into the trace, if there is one.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let line = format!("{:>6} ms  {}", self.now(), line());
            lock(trace).push(line);
        }
    }

    pub(super) fn take_trace(&self) -> Vec<String> {
        self.trace
            .as_ref()
            .map(|trace| std::mem::take(&mut *lock(trace)))
            .unwrap_or_default()
    }

    pub(super) fn broken(&self, promise: String) {
        self.note(|| format!("BROKEN: {promise}"));
        self.seen().broken.push(promise);
    }

    pub(super) fn gate(&self) -> Arc<ModelGate> {
        Arc::clone(&lock(&self.gate))
    }

    /// A gate for a process that starts, instead of that of the one before.
    pub(super) fn gate_for_process(&self) -> Arc<ModelGate> {
        if self.plan.kind == Kind::Servers {
            return self.gate();
        }
        let ends = self.log.ends_now();
        let gate = ModelGate::in_process(self.clock(), Arc::clone(&self.ledger), ends);
        let gate = Arc::new(gate.of_ledger(self.ledger.id()));
        self.lose(|| *lock(&self.gate) = Arc::clone(&gate));
        gate
    }

    pub(super) fn has_faults(&self) -> bool {
        self.faults.load(Ordering::Relaxed)
    }

    /// From now on everything goes well.
    pub(super) fn end_faults(&self) {
        self.faults.store(false, Ordering::Relaxed);
    }

    /// A server cannot be reached until then; calls are refused at once, or get no answer.
    pub(super) fn send_away(&self, server: Server, until: u64, refused: bool) {
        lock(&self.away).insert(server as u8, (until, refused));
    }

    /// How a call to a server goes.
    pub(super) fn fate(&self, server: Server) -> Fate {
        let calls = self.plan.calls(server);
        if !self.has_faults() {
            return Fate::Delivered {
                there: 1,
                back: 0,
                again: None,
                answered: true,
            };
        }
        let away = lock(&self.away).get(&(server as u8)).copied();
        if let Some((until, refused)) = away
            && self.now() < until
        {
            return if refused {
                Fate::Refused { after: 1 }
            } else {
                Fate::Lost
            };
        }
        let mut chance = self.chance();
        let timeout = u64::try_from(calls.timeout.as_millis()).unwrap_or(u64::MAX);
        if chance.per_mille(calls.refused) {
            let longest = if chance.per_mille(500) {
                5
            } else {
                2 * timeout
            };
            return Fate::Refused {
                after: chance.between(1, longest),
            };
        }
        let mut answered = true;
        if chance.per_mille(calls.lost) {
            if chance.per_mille(500) {
                return Fate::Lost;
            }
            answered = false;
        }
        let (mut there, mut back) = (chance.between(0, calls.way), chance.between(0, calls.way));
        if chance.per_mille(calls.slow) {
            there += chance.between(0, 2 * timeout);
            back += chance.between(0, timeout / 2);
        }
        let again = chance
            .per_mille(calls.twice)
            .then(|| chance.between(0, 100));
        Fate::Delivered {
            there,
            back,
            again,
            answered,
        }
    }
}

/// The shopper of this number, from 1.
pub(super) fn shopper(number: u64) -> Option<UserId> {
    UserId::new(i64::try_from(number).ok()?)
}

/// An attempt as the trace names it.
pub(super) fn short(attempt: AttemptId) -> String {
    format!("#{}", attempt.0.as_u128())
}

fn window(plan: &Plan) -> SaleWindow {
    SaleWindow {
        start: at(plan.opens),
        end: at(plan.ends),
    }
}
