//! The ledger as a model: maps for tables, every call a transaction, and the constraints that the real ones have.

mod changes;
mod event_table;
mod events;
mod movements;
mod port;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, Utc};
use flashsale::{
    clock::Clock,
    ids::{AttemptId, LedgerId, ProductId, SaleId, UserId},
    port::{
        Attempt, DeadLetterDecision, EndedOrder, Holder, LedgerError, Movement, MovementId, Offset,
        Outcome, Partition, PurchaseResult, ResultEntry, Role, SaleListing, SaleWindow,
        SessionRule, Settlement, StoredUser,
    },
    rules::settlement::{self, Known, KnownSale, Settled},
};

use super::{
    leases::Leases,
    results::{StoredResults, forget_results, write_results},
};

/// What a ledger has at some moment, to set it back to.
#[derive(Clone)]
pub struct LedgerImage(Tables);

/// A read after which something else can happen before its reader acts ([`ModelLedger::after_next`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerRead {
    Sales,
    PendingMovements,
    Outcomes,
    Snapshot,
}

/// What happens after a read.
type Event = Box<dyn FnOnce() + Send>;

/// The ledger.
pub struct ModelLedger {
    id: LedgerId,
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
    /// The action log is damaged: what needs an entry in it fails.
    damaged: AtomicBool,
    /// What happens after the next read of this kind.
    next: Mutex<Option<(LedgerRead, Event)>>,
}

#[derive(Default, Clone)]
struct Tables {
    users: BTreeMap<UserId, (StoredUser, String)>,
    /// The highest id that was handed out.
    reached: i64,
    /// Deleted accounts, in order.
    removed: Vec<UserId>,
    /// How often it was set back to an earlier state.
    set_back: u64,
    sales: BTreeMap<SaleId, SaleListing>,
    /// When each sale was last changed.
    updated: BTreeMap<SaleId, DateTime<Utc>>,
    /// When each sale was open, from its earliest start to its latest end; none where that is not known.
    admitted: BTreeMap<SaleId, SaleWindow>,
    orders: BTreeMap<(SaleId, UserId), AttemptId>,
    attempts: BTreeMap<AttemptId, Settled>,
    /// Orders that ended and are not known to be taken out of the gate.
    ended: Vec<EndedOrder>,
    /// Withdrawals of units, by id.
    movements: BTreeMap<MovementId, Movement>,
    events: event_table::Events,
    leases: Leases,
    /// What shoppers are told, where no server keeps that.
    results: StoredResults,
    /// What was decided about dead letters, each with the name of the log.
    decisions: Vec<(String, DeadLetterDecision)>,
}

impl ModelLedger {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let id = LedgerId(clock.new_id());
        Self {
            id,
            clock,
            tables: Mutex::default(),
            damaged: AtomicBool::new(false),
            next: Mutex::default(),
        }
    }

    /// Has something happen once, right after the next read of this kind: its reader goes on with what was true before.
    pub fn after_next(&self, read: LedgerRead, event: impl FnOnce() + Send + 'static) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((read, Box::new(event)));
    }

    fn was_read(&self, read: LedgerRead) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.take_if(|(awaited, _)| *awaited == read);
        drop(next);
        if let Some((_, event)) = due {
            event();
        }
    }

    /// Makes a sale, and its product. Its window is kept to the millisecond.
    pub fn add_sale(&self, mut sale: SaleListing) {
        sale.window.start = sale.window.start.trunc_subsecs(3);
        sale.window.end = sale.window.end.trunc_subsecs(3);
        let now = self.clock.now();
        let mut tables = self.tables();
        let before = tables.before();
        tables.admitted.insert(sale.id, sale.window);
        tables.sales.insert(sale.id, sale);
        tables.note_events(&before, now);
    }

    /// Makes the account of a shopper.
    pub fn add_shopper(&self, id: UserId) {
        let user = StoredUser {
            id,
            username: format!("shopper{id}"),
            email: format!("shopper{id}@example.com"),
            password_hash: "-".to_owned(),
            role: Role::User,
            created_at: DateTime::UNIX_EPOCH,
            sessions: SessionRule::default(),
        };
        let email = user.email.clone();
        let mut tables = self.tables();
        tables.users.insert(id, (user, email));
        tables.reached = tables.reached.max(id.value());
    }

    /// Deletes an account, unless an order names it. True if it did.
    pub fn delete_account(&self, id: UserId) -> bool {
        let mut tables = self.tables();
        if tables.orders.keys().any(|(_, user)| *user == id) {
            return false;
        }
        let deleted = tables.users.remove(&id).is_some();
        if deleted {
            tables.removed.push(id);
        }
        deleted
    }

    /// What it has now.
    #[must_use]
    pub fn image(&self) -> LedgerImage {
        LedgerImage(self.tables().clone())
    }

    /// Sets it back to what it had then, as restoring a backup does.
    pub fn set_back(&self, image: &LedgerImage) {
        let mut tables = self.tables();
        let set_back = tables.set_back + 1;
        *tables = Tables {
            set_back,
            ..image.0.clone()
        };
    }

    /// Damages the action log: from now on no withdrawal can be closed.
    pub fn damage_action_log(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Whoever held leases is gone: a process that has the ledger for itself says so at its start.
    pub fn clear_leases(&self) {
        self.tables().leases.clear();
    }

    /// As by a statement written by hand: the units that there are. False if fewer than the orders.
    pub fn set_initial_stock(&self, sale: SaleId, units: u64) -> bool {
        let now = self.clock.now();
        let mut tables = self.tables();
        let before = tables.before();
        let Some(row) = tables.sales.get_mut(&sale) else {
            return false;
        };
        let sold = row.initial_stock - row.remaining_stock;
        let Some(remaining) = units.checked_sub(sold) else {
            return false;
        };
        row.initial_stock = units;
        row.remaining_stock = remaining;
        row.version += 1;
        tables.note_events(&before, now);
        true
    }

    /// As by a statement written by hand: the shopper's order is gone. Its attempt, if there was one.
    pub fn end_order(&self, sale: SaleId, user: UserId) -> Option<AttemptId> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let before = tables.before();
        let attempt = tables.orders.remove(&(sale, user))?;
        if let Some(row) = tables.sales.get_mut(&sale) {
            row.remaining_stock += 1;
        }
        let holder = Holder { user, attempt };
        tables.ended.push(EndedOrder { sale, holder });
        tables.note_events(&before, now);
        Some(attempt)
    }

    /// The units that a sale has now.
    #[must_use]
    pub fn initial(&self, sale: SaleId) -> u64 {
        let tables = self.tables();
        tables.sales.get(&sale).map_or(0, |row| row.initial_stock)
    }

    /// Units of a sale for which no order stands.
    #[must_use]
    pub fn remaining(&self, sale: SaleId) -> u64 {
        let tables = self.tables();
        tables.sales.get(&sale).map_or(0, |row| row.remaining_stock)
    }

    /// The orders of a sale, each with its attempt.
    #[must_use]
    pub fn orders(&self, sale: SaleId) -> BTreeMap<UserId, AttemptId> {
        let tables = self.tables();
        let of_sale = tables.orders.iter().filter(|((of, _), _)| *of == sale);
        of_sale
            .map(|((_, user), attempt)| (*user, *attempt))
            .collect()
    }

    /// What became of an attempt, if it is settled.
    #[must_use]
    pub fn outcome(&self, attempt: AttemptId) -> Option<Outcome> {
        self.tables()
            .outcome(attempt)
            .map(|settled| settled.outcome)
    }

    /// The accounts that there are.
    #[must_use]
    pub fn accounts(&self) -> Vec<UserId> {
        self.tables().users.keys().copied().collect()
    }

    /// The attempts that are settled.
    #[must_use]
    pub fn settled_ids(&self) -> Vec<AttemptId> {
        self.tables().attempts.keys().copied().collect()
    }

    /// How many attempts are settled.
    #[must_use]
    pub fn settled_attempts(&self) -> usize {
        self.tables().attempts.len()
    }

    /// Where every partition stands.
    #[must_use]
    pub fn progress_of(&self, group: &str, topic: &str) -> BTreeMap<Partition, Offset> {
        self.tables().leases.committed_offsets(group, topic)
    }

    pub(super) fn write_results(&self, entries: &[ResultEntry]) {
        write_results(&mut self.tables().results, entries);
    }

    pub(super) fn forget_results(&self, entries: &[ResultEntry]) {
        forget_results(&mut self.tables().results, entries);
    }

    /// The result that a shopper reads of a product, and the sale that it is of: an order before a FAILED of its sale or an earlier one.
    pub(super) fn stored_result(
        &self,
        user: UserId,
        product: ProductId,
    ) -> Option<(SaleId, PurchaseResult)> {
        let tables = self.tables();
        let written = tables.results.get(&(user, product)).copied();
        let ordered = tables.orders.keys().rev().find(|(sale, by)| {
            let row = tables.sales.get(sale);
            *by == user
                && row.is_some_and(|row| row.product == product)
                && written.is_none_or(|(of, _)| *sale >= of)
        });
        ordered
            .map(|(sale, _)| (*sale, PurchaseResult::Success))
            .or(written)
    }

    /// True if every reading of the log has come this far.
    pub(super) fn is_settled_up_to(&self, ends: &BTreeMap<Partition, Offset>) -> bool {
        self.tables().leases.all_have_reached(ends)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis_in(&self, duration: Duration) -> i64 {
        let duration = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.millis().saturating_add(duration)
    }

    fn millis(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }
}

impl Tables {
    /// What is recorded of an attempt, and whether its order still stands.
    fn outcome(&self, attempt: AttemptId) -> Option<Settled> {
        let mut settled = *self.attempts.get(&attempt)?;
        let stands = self.orders.get(&(settled.sale, settled.user)) == Some(&attempt);
        match settled.outcome {
            Outcome::Ordered if !stands => settled.outcome = Outcome::Released,
            // It lost to the order that stands; if that has ended, it still got nothing.
            Outcome::AlreadyOrdered { .. } => {
                let by = self.orders.get(&(settled.sale, settled.user)).copied();
                settled.outcome = by.map_or(Outcome::SoldOut, |by| Outcome::AlreadyOrdered { by });
            }
            Outcome::Ordered
            | Outcome::SoldOut
            | Outcome::Released
            | Outcome::NoAccount
            | Outcome::Rejected => {}
        }
        Some(settled)
    }

    fn look_up(&self, attempts: &[Attempt]) -> Known {
        let mut known = Known::default();
        for attempt in attempts {
            if let Some(settled) = self.outcome(attempt.id) {
                known.settled.insert(attempt.id, settled);
            }
            let shopper = (attempt.sale, attempt.user);
            if let Some(by) = self.orders.get(&shopper) {
                known.orders.insert(shopper, *by);
            }
            if self.users.contains_key(&attempt.user) {
                known.users.insert(attempt.user);
            }
            if let Some(row) = self.sales.get(&attempt.sale) {
                let sale = KnownSale {
                    product: row.product,
                    remaining: row.remaining_stock,
                    admitted: self.admitted.get(&attempt.sale).copied(),
                    attempts_removed_until: None,
                };
                known.sales.insert(attempt.sale, sale);
            }
        }
        known
    }

    /// What the constraints of the real ledgers refuse; nothing is written then.
    fn check(&self, decision: &settlement::Decision) -> Result<(), LedgerError> {
        let mut taken: BTreeMap<SaleId, u64> = BTreeMap::new();
        let mut new: BTreeMap<(SaleId, UserId), AttemptId> = BTreeMap::new();
        for order in &decision.orders {
            let shopper = (order.sale, order.user);
            let second = self.orders.contains_key(&shopper) || new.contains_key(&shopper);
            let same_attempt = |by: &AttemptId| *by == order.id;
            if second || self.orders.values().any(same_attempt) || new.values().any(same_attempt) {
                return Err(LedgerError("a second order is refused".to_owned()));
            }
            new.insert(shopper, order.id);
            *taken.entry(order.sale).or_default() += 1;
        }
        for (sale, taken) in taken {
            let left = self.sales.get(&sale).map_or(0, |row| row.remaining_stock);
            if taken > left {
                return Err(LedgerError("a unit too many is refused".to_owned()));
            }
        }
        Ok(())
    }

    fn write_down(&mut self, decision: &settlement::Decision) {
        for order in &decision.orders {
            self.orders.insert((order.sale, order.user), order.id);
            if let Some(row) = self.sales.get_mut(&order.sale) {
                row.remaining_stock -= 1;
            }
        }
        for Settlement { attempt, outcome } in decision.fresh.iter().map(|fresh| &fresh.settlement)
        {
            let settled = Settled {
                sale: attempt.sale,
                user: attempt.user,
                outcome: *outcome,
            };
            self.attempts.insert(attempt.id, settled);
        }
        // As the embedded ledger does: after a crash nobody else could tell these shoppers.
        let failed: Vec<_> = decision
            .fresh
            .iter()
            .map(|fresh| &fresh.settlement)
            .filter(|settlement| settlement.outcome == Outcome::SoldOut)
            .map(|settlement| ResultEntry {
                sale: settlement.attempt.sale,
                product: settlement.attempt.product,
                user: settlement.attempt.user,
                result: PurchaseResult::Failed,
            })
            .collect();
        write_results(&mut self.results, &failed);
    }
}
