//! What the contract suite cannot see: the clock's edges, and random histories beside a model of the ledger.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::{
    ids::SaleId,
    port::{
        Attempt, ClaimOutcome, CloseReason, EndOrdersOutcome, LoadStart, LoadStep, Movement,
        MovementMode, MovementState, SaleWindow, Settlement, TermsOutcome, WithdrawOutcome,
    },
};

const LEASE: Duration = Duration::from_secs(30);

fn holder(user: i64, attempt: u128) -> Holder {
    Holder {
        user: UserId::new(user).unwrap(),
        attempt: AttemptId(Uuid::from_u128(attempt)),
    }
}

fn token(number: u128) -> LoadToken {
    LoadToken(Uuid::from_u128(number))
}

fn window() -> SaleWindow {
    SaleWindow {
        start: time(1_000),
        end: time(2_000),
    }
}

fn terms(version: u64, total: u64) -> SaleTerms {
    SaleTerms {
        switch: crate::port::SaleSwitch::On,
        version,
        window: window(),
        total,
    }
}

fn open(stock: u64) -> Sale {
    let mut sale = Sale::default();
    assert_eq!(sale.begin_load(token(1), 0, LEASE), LoadStart::Begun);
    assert_eq!(
        sale.open(token(1), terms(1, stock), stock, &[], time(9_000), 0),
        LoadStep::Applied
    );
    sale
}

fn settlement(holder: Holder, outcome: Outcome) -> Settlement {
    let attempt = Attempt {
        id: holder.attempt,
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: holder.user,
        at: time(0),
    };
    Settlement { attempt, outcome }
}

#[test]
fn the_window_opens_and_closes_to_the_millisecond() {
    let mut sale = open(9);
    for (now, expected) in [
        (999, ReserveOutcome::NotStarted),
        (1_000, ReserveOutcome::Reserved),
        (1_999, ReserveOutcome::Reserved),
        (2_000, ReserveOutcome::Ended),
    ] {
        assert_eq!(sale.reserve(holder(now, 1), now), expected, "at {now}");
    }
}

#[test]
fn a_sale_is_forgotten_when_it_expires_and_an_abandoned_loading_too() {
    let sale = open(1);
    assert!(!sale.is_expired(8_999) && sale.is_expired(9_000));
    let mut loading = Sale::default();
    assert!(!loading.is_expired(i64::MAX), "nothing is known of it yet");
    loading.begin_load(token(1), 5, LEASE);
    assert!(!loading.is_expired(600_004) && loading.is_expired(600_005));
}

#[test]
fn a_loading_is_superseded_after_its_lease_and_not_before() {
    let mut sale = Sale::default();
    assert_eq!(sale.begin_load(token(1), 0, LEASE), LoadStart::Begun);
    assert_eq!(
        sale.begin_load(token(2), 29_999, LEASE),
        LoadStart::OpenOrLoading
    );
    assert_eq!(sale.begin_load(token(2), 30_000, LEASE), LoadStart::Begun);
    assert_eq!(
        sale.load_holders(token(1), &[], 30_000),
        LoadStep::Superseded
    );
    assert_eq!(
        sale.open(token(1), terms(1, 1), 1, &[], time(9_000), 0),
        LoadStep::Superseded
    );
}

#[test]
fn the_oldest_pending_attempts_are_overdue_first() {
    let mut sale = open(9);
    for (user, now) in [(1, 1_300), (2, 1_100), (3, 1_200), (4, 1_900)] {
        sale.reserve(holder(user, 1), now);
    }
    let overdue = |sale: &mut Sale, limit| -> Vec<i64> {
        let age = Duration::from_millis(500);
        let entries = sale.overdue(1_800, age, limit);
        entries.iter().map(|entry| entry.user.value()).collect()
    };
    assert_eq!(overdue(&mut sale, 9), [2, 3, 1]);
    assert_eq!(overdue(&mut sale, 2), [2, 3]);
    assert_eq!(sale.claim(holder(2, 1), 1_800), ClaimOutcome::Claimed);
    assert_eq!(overdue(&mut sale, 9), [3, 1], "claimed: new again");
}

/// A generator of numbers that a seed fixes (Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The ledger, its orders, and those that ended and are not taken out of the gate.
struct Ledger {
    version: u64,
    stock: u64,
    orders: BTreeMap<UserId, AttemptId>,
    ended: Vec<Holder>,
    /// Withdrawals, and whether they are closed.
    movements: BTreeMap<MovementId, (Movement, bool)>,
}

impl Ledger {
    fn remaining(&self) -> u64 {
        self.stock - self.orders.len() as u64
    }

    fn decide(&mut self, holder: Holder, decided: &mut BTreeMap<AttemptId, Outcome>) -> Outcome {
        let stands = self.orders.get(&holder.user) == Some(&holder.attempt);
        match decided.get(&holder.attempt) {
            Some(Outcome::Ordered) if !stands => return Outcome::Released,
            Some(Outcome::AlreadyOrdered { .. }) => {
                let by = self.orders.get(&holder.user).copied();
                return by.map_or(Outcome::SoldOut, |by| Outcome::AlreadyOrdered { by });
            }
            Some(outcome) => return *outcome,
            None => {}
        }
        let outcome = self.decide_first(holder);
        decided.insert(holder.attempt, outcome);
        outcome
    }

    fn begin_withdrawal(&mut self, random: &mut Random) {
        let id = MovementId(Uuid::from_u128(self.movements.len() as u128 + 1));
        let movement = Movement {
            id,
            sale: SaleId::new(1).unwrap(),
            mode: [MovementMode::Exact, MovementMode::UpTo][usize::from(random.below(2) == 0)],
            requested: 1 + u32::try_from(random.below(4)).unwrap(),
            applied: 0,
            state: MovementState::Pending,
            requested_at: time(0),
        };
        self.movements.insert(id, (movement, false));
    }

    fn close_withdrawal(&mut self, id: MovementId, taken: u32) {
        let taken = u64::from(taken).min(self.remaining());
        self.stock -= taken;
        self.version += u64::from(taken > 0);
        self.movements.get_mut(&id).unwrap().1 = true;
    }

    fn pending_movements(&self) -> Vec<Movement> {
        let pending = self.movements.values().filter(|(_, closed)| !closed);
        pending.map(|(movement, _)| *movement).collect()
    }

    fn decide_first(&mut self, holder: Holder) -> Outcome {
        match self.orders.get(&holder.user) {
            Some(by) if *by == holder.attempt => Outcome::Ordered,
            Some(by) => Outcome::AlreadyOrdered { by: *by },
            None if self.remaining() == 0 => Outcome::SoldOut,
            None => {
                self.orders.insert(holder.user, holder.attempt);
                Outcome::Ordered
            }
        }
    }
}

/// What operators change in the ledger, and what a worker tells the gate of it, soon or late.
fn operate(random: &mut Random, ledger: &mut Ledger, sale: &mut Sale) {
    match random.below(7) {
        0 => {
            let sold = ledger.orders.len() as u64;
            let before = terms(ledger.version, ledger.stock);
            ledger.stock = sold + random.below(6);
            ledger.version += 1;
            assert_eq!(
                sale.set_terms(terms(ledger.version, ledger.stock), &[], time(9_000)),
                TermsOutcome::InForce
            );
            // Of a worker with an older listing.
            let version = ledger.version;
            assert_eq!(
                sale.set_terms(before, &[], time(9_000)),
                TermsOutcome::OthersInForce { version }
            );
        }
        1 => {
            if let Some(index) = pick(random, ledger.orders.len()) {
                let user = *ledger.orders.keys().nth(index).unwrap();
                let attempt = ledger.orders.remove(&user).unwrap();
                ledger.ended.push(Holder { user, attempt });
            }
        }
        2 => {
            assert_eq!(sale.end_orders(&ledger.ended), EndOrdersOutcome::TakenOut);
            ledger.ended.clear();
        }
        3 => ledger.begin_withdrawal(random),
        4..=5 => {
            // Also of a withdrawal that is closed: the call was on its way for long.
            if let Some(index) = pick(random, ledger.movements.len()) {
                let (movement, closed) = *ledger.movements.values().nth(index).unwrap();
                let Movement {
                    id,
                    requested,
                    mode,
                    ..
                } = movement;
                let seen = ledger.version - random.below(2);
                let taken = sale.withdraw(id, requested, mode, seen);
                let repeated = sale.withdraw(id, requested, mode, seen);
                assert_eq!(repeated, taken, "repeated");
                if let WithdrawOutcome::Withdrawn(units) = taken
                    && !closed
                    && random.below(2) == 0
                {
                    ledger.close_withdrawal(id, units);
                }
            }
        }
        _ => clear(ledger, sale),
    }
}

/// Has the gate clear what is closed, with the ledger's terms.
fn clear(ledger: &Ledger, sale: &mut Sale) {
    let closed = ledger.movements.values().filter(|(_, closed)| *closed);
    let closed: Vec<_> = closed.map(|(movement, _)| movement.id).collect();
    let newest = terms(ledger.version, ledger.stock);
    let set = sale.set_terms(newest, &closed, time(9_000));
    assert_eq!(set, TermsOutcome::InForce);
}

/// Random presses, releases, claims, settlements told late, twice or never, and loadings at any moment.
fn history(seed: u64) {
    let mut random = Random(seed);
    let mut ledger = Ledger {
        version: 1,
        stock: 1 + random.below(6),
        orders: BTreeMap::new(),
        ended: Vec::new(),
        movements: BTreeMap::new(),
    };
    let mut decided: BTreeMap<AttemptId, Outcome> = BTreeMap::new();
    let mut sale = open(ledger.stock);
    let mut attempts: Vec<Holder> = Vec::new();
    let mut unrecorded: Vec<Settlement> = Vec::new();
    for step in 0..60 {
        let user = 1 + i64::try_from(random.below(8)).unwrap();
        match random.below(11) {
            0..=2 => {
                let asked = holder(user, u128::from(step) + 1);
                if sale.reserve(asked, 1_500) == ReserveOutcome::Reserved {
                    attempts.push(asked);
                }
            }
            3 => {
                if let Some(index) = pick(&mut random, attempts.len()) {
                    // Only what is surely not logged is given back, and then it is never settled.
                    if sale.release(attempts[index]) == ReleaseOutcome::Released {
                        attempts.remove(index);
                    }
                }
            }
            4 => {
                if let Some(index) = pick(&mut random, attempts.len()) {
                    sale.claim(attempts[index], 1_500);
                }
            }
            5 => {
                if let Some(index) = pick(&mut random, attempts.len()) {
                    let attempt = attempts[index];
                    unrecorded.push(settlement(attempt, ledger.decide(attempt, &mut decided)));
                }
            }
            6 => {
                if let Some(index) = pick(&mut random, unrecorded.len()) {
                    sale.record(&unrecorded[index..=index]);
                    if random.below(2) == 0 {
                        unrecorded.remove(index);
                    }
                }
            }
            7..=9 => operate(&mut random, &mut ledger, &mut sale),
            _ => {
                // The gate is lost: everything logged is settled first, then it is loaded from a snapshot, and what is
                // told late comes in between.
                for attempt in attempts.drain(..) {
                    unrecorded.push(settlement(attempt, ledger.decide(attempt, &mut decided)));
                }
                // A server keeps what it was told of ended orders; they are told again if it forgot.
                let mut fresh = sale.clone();
                assert!(fresh.close(Some(CloseReason::Requested)).is_some());
                assert_eq!(
                    fresh.end_orders(&ledger.ended),
                    EndOrdersOutcome::NotOpen,
                    "a closed sale confirmed"
                );
                assert_eq!(fresh.begin_load(token(2), 0, LEASE), LoadStart::Begun);
                let (remaining, holders) = (ledger.remaining(), orders(&ledger));
                if let Some(index) = pick(&mut random, unrecorded.len()) {
                    fresh.record(&unrecorded[index..=index]);
                }
                assert_eq!(fresh.load_holders(token(2), &holders, 0), LoadStep::Applied);
                if let Some(index) = pick(&mut random, unrecorded.len()) {
                    fresh.record(&unrecorded[index..=index]);
                }
                assert_eq!(
                    fresh.open(
                        token(2),
                        terms(ledger.version, ledger.stock),
                        remaining,
                        &ledger.pending_movements(),
                        time(9_000),
                        0
                    ),
                    LoadStep::Applied
                );
                sale = fresh;
            }
        }
        check(&sale, &ledger, seed, step);
    }
    clear(&ledger, &mut sale);
    check(&sale, &ledger, seed, 60);
    let pending = ledger.pending_movements();
    let is_pending = |id: &MovementId| pending.iter().any(|movement| movement.id == *id);
    assert!(sale.withdrawn.keys().all(is_pending), "seed {seed}");
}

fn pick(random: &mut Random, len: usize) -> Option<usize> {
    let len = u64::try_from(len).ok().filter(|len| *len > 0)?;
    usize::try_from(random.below(len)).ok()
}

fn orders(ledger: &Ledger) -> Vec<Holder> {
    let holder = |(user, attempt): (&UserId, &AttemptId)| Holder {
        user: *user,
        attempt: *attempt,
    };
    ledger.orders.iter().map(holder).collect()
}

/// `available + pending + withdrawn = remaining + orders that are not counted - ended orders that still hold`, as of the total
/// that the gate knows, and the gate's own sum.
fn check(sale: &Sale, ledger: &Ledger, seed: u64, step: u64) {
    let GateStatus::Open {
        available,
        pending,
        total,
        ..
    } = sale.status()
    else {
        panic!("seed {seed}: closed");
    };
    let uncounted = ledger.orders.keys().filter(|user| !sale.has_order(**user));
    // Of each order that ended: held by it, or by an attempt that is counted for it.
    let ended = sale.users().into_iter();
    let ended = ended.filter(|user| sale.has_order(*user) && !ledger.orders.contains_key(user));
    let untold = total - i64::try_from(ledger.stock).unwrap();
    let expected = i64::try_from(ledger.remaining()).unwrap()
        + untold
        + i64::try_from(uncounted.count()).unwrap()
        - i64::try_from(ended.count()).unwrap();
    assert!(
        !sale.status().is_contradictory(),
        "seed {seed}, step {step}: {:?}",
        sale.status()
    );
    assert_eq!(
        available + i64::try_from(pending + sale.status().withdrawn_units()).unwrap(),
        expected,
        "seed {seed}, step {step}: available {available}, pending {pending}"
    );
    let listed = sale.holders.values().filter(|held| held.state.is_pending());
    assert_eq!(
        listed.count(),
        sale.pending.len(),
        "seed {seed}, step {step}"
    );
}

#[test]
fn units_are_never_lost_nor_made_in_any_history() {
    for seed in 0..20_000 {
        history(seed);
    }
}
