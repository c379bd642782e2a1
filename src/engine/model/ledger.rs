//! The ledger as a model: maps for tables, every call a transaction, and the constraints that the real ones have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};

use super::{
    gate::{Results, forget_results, write_results},
    leases::Leases,
};
use crate::{
    account_key::AccountKey,
    clock::Clock,
    ids::{AttemptId, LedgerId, ProductId, SaleId, UserId},
    order::settlement::{self, Known, KnownSale, Settled},
    port::{
        AccountChanges, AccountPage, AccountPosition, Attempt, Decision, EndedOrder, Holder, Lease,
        Ledger, LedgerError, Member, NewUser, Offset, Outcome, Partition, Position, PurchaseResult,
        Registration, ResultEntry, SaleListing, SaleSnapshot, SettleBatch, SettleError,
        SettledAttempt, Settlement, StoredUser, Verdict,
    },
};

/// What a ledger has at some moment, to set it back to.
#[derive(Clone)]
pub struct LedgerImage(Tables);

/// The ledger.
pub struct ModelLedger {
    id: LedgerId,
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
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
    orders: BTreeMap<(SaleId, UserId), AttemptId>,
    attempts: BTreeMap<AttemptId, Settled>,
    /// Orders that ended and are not known to be taken out of the gate.
    ended: Vec<EndedOrder>,
    leases: Leases,
    /// What shoppers are told, where no server keeps that.
    results: Results,
    /// What was decided about dead letters, each with the name of the log.
    decisions: Vec<(String, Decision)>,
}

impl ModelLedger {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let id = LedgerId(clock.new_id());
        Self {
            id,
            clock,
            tables: Mutex::default(),
        }
    }

    /// Makes a sale, and its product. Its window is kept to the millisecond.
    pub fn add_sale(&self, mut sale: SaleListing) {
        sale.window.start = sale.window.start.trunc_subsecs(3);
        sale.window.end = sale.window.end.trunc_subsecs(3);
        self.tables().sales.insert(sale.id, sale);
    }

    /// Makes the account of a shopper.
    pub fn add_shopper(&self, id: UserId) {
        let user = StoredUser {
            id,
            username: format!("shopper{id}"),
            password_hash: "-".to_owned(),
            role: "user".to_owned(),
            created_at: DateTime::UNIX_EPOCH,
        };
        let email = format!("shopper{id}@example.com");
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

    /// Whoever held leases is gone: a process that has the ledger for itself says so at its start.
    pub fn clear_leases(&self) {
        self.tables().leases.clear();
    }

    /// As by a statement written by hand: the units that there are. False if fewer than the orders.
    pub fn set_initial_stock(&self, sale: SaleId, units: u64) -> bool {
        let mut tables = self.tables();
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
        true
    }

    /// As by a statement written by hand: the shopper's order is gone. Its attempt, if there was one.
    pub fn end_order(&self, sale: SaleId, user: UserId) -> Option<AttemptId> {
        let mut tables = self.tables();
        let attempt = tables.orders.remove(&(sale, user))?;
        if let Some(row) = tables.sales.get_mut(&sale) {
            row.remaining_stock += 1;
        }
        let holder = Holder { user, attempt };
        tables.ended.push(EndedOrder { sale, holder });
        Some(attempt)
    }

    /// True if these are its newest terms, and no ended order is left to be taken out of the gate.
    #[must_use]
    pub fn is_told(&self, sale: SaleId, version: u64) -> bool {
        let tables = self.tables();
        let newest = tables.sales.get(&sale).map(|row| row.version);
        newest == Some(version) && tables.ended.iter().all(|order| order.sale != sale)
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

    /// How many attempts are settled.
    #[must_use]
    pub fn settled_attempts(&self) -> usize {
        self.tables().attempts.len()
    }

    /// Where every partition stands.
    #[must_use]
    pub fn progress_of(&self, group: &str, topic: &str) -> BTreeMap<Partition, Offset> {
        self.tables().leases.progress(group, topic)
    }

    pub(super) fn write_results(&self, entries: &[ResultEntry]) {
        write_results(&mut self.tables().results, entries);
    }

    pub(super) fn forget_results(&self, entries: &[ResultEntry]) {
        forget_results(&mut self.tables().results, entries);
    }

    /// What a shopper is told of a product, and by which sale: an order before a FAILED of its sale or an earlier one.
    pub(super) fn told(
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

#[async_trait]
impl Ledger for ModelLedger {
    fn id(&self) -> LedgerId {
        self.id
    }

    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let same = |one: &str, other: &str| AccountKey::of(one) == AccountKey::of(other);
        let mut users = tables.users.values();
        if users.any(|(known, _)| same(&known.username, &user.username)) {
            return Ok(Registration::UsernameTaken);
        }
        let mut users = tables.users.values();
        if users.any(|(_, email)| same(email, &user.email)) {
            return Ok(Registration::EmailTaken);
        }
        let last = tables.reached.max(above);
        let id = UserId::new(last + 1)
            .ok_or_else(|| LedgerError("there is no further id".to_owned()))?;
        tables.reached = id.value();
        let stored = StoredUser {
            id,
            username: user.username.clone(),
            password_hash: user.password_hash.clone(),
            role: "user".to_owned(),
            created_at: now,
        };
        tables.users.insert(id, (stored, user.email.clone()));
        Ok(Registration::Registered(id))
    }

    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError> {
        let mut tables = self.tables();
        tables.reached = tables.reached.max(id.value());
        Ok(())
    }

    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        let tables = self.tables();
        let server = tables.set_back.to_string();
        let read = since.map_or(usize::MAX, |position| {
            usize::try_from(position.at).unwrap_or(usize::MAX)
        });
        let removed = tables.removed.iter().skip(read);
        Ok(AccountChanges {
            restart: since.is_some_and(|position| position.server != server),
            removed: removed.map(|id| id.value()..=id.value()).collect(),
            position: AccountPosition {
                server,
                at: tables.removed.len() as u64,
                seen: BTreeSet::new(),
                made_at: self.clock.now(),
            },
            reached: tables.reached,
        })
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        let tables = self.tables();
        let behind = tables.users.iter().filter(|(id, _)| Some(**id) > after);
        let accounts = behind.map(|(id, (user, _))| (*id, user.created_at));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(AccountPage::of(accounts.take(limit)))
    }

    async fn find_accounts(
        &self,
        ids: &[UserId],
    ) -> Result<Vec<(UserId, DateTime<Utc>)>, LedgerError> {
        let tables = self.tables();
        let made_at = |id: &UserId| Some((*id, tables.users.get(id)?.0.created_at));
        Ok(ids.iter().filter_map(made_at).collect())
    }

    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        let (tables, key) = (self.tables(), AccountKey::of(username));
        let found = tables
            .users
            .values()
            .find(|(user, _)| AccountKey::of(&user.username) == key);
        Ok(found.map(|(user, _)| user.clone()))
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<bool, LedgerError> {
        let mut tables = self.tables();
        let stored = tables.users.get_mut(&user).map(|(user, _)| user);
        let stored = stored.filter(|user| user.password_hash == old);
        Ok(stored
            .map(|user| new.clone_into(&mut user.password_hash))
            .is_some())
    }

    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        let tables = self.tables();
        let ended = |sale: &&SaleListing| sale.window.end <= since;
        let last = tables
            .sales
            .values()
            .filter(ended)
            .max_by_key(|sale| sale.window.end)
            .map(|sale| sale.id);
        let mut listed: Vec<_> = tables
            .sales
            .values()
            .filter(|sale| !ended(sale) || Some(sale.id) == last)
            .cloned()
            .collect();
        listed.sort_by_key(|sale| sale.window.start);
        Ok(listed)
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let mut tables = self.tables();
        let mut moved = BTreeSet::new();
        let is_there = |batch: &SettleBatch| {
            moved.insert(batch.position.partition)
                && tables.leases.is_at(&batch.position, batch.from)
        };
        if !batches.iter().all(is_there) {
            return Err(SettleError::Fenced);
        }
        let known = tables.look_up(&settlement::attempts_of(batches));
        let decision = settlement::decide(batches, known).map_err(SettleError::Unsettleable)?;
        tables.check(&decision)?;
        if let Some(reached) = settlement::reached_before_set_back(batches, &decision) {
            tables.reached = tables.reached.max(reached.value());
        }
        tables.write_down(&decision);
        for batch in batches {
            tables.leases.move_to(&batch.position, batch.to, batch.last);
        }
        Ok(decision.settlements)
    }

    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        let tables = self.tables();
        let outcome = |id: &AttemptId| Some((*id, tables.outcome(*id)?.outcome));
        Ok(attempts.iter().filter_map(outcome).collect())
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        let tables = self.tables();
        let Some(row) = tables.sales.get(&sale) else {
            return Ok(None);
        };
        let of_sale = tables.orders.iter().filter(|((of, _), _)| *of == sale);
        let holders = of_sale
            .map(|((_, user), attempt)| Holder {
                user: *user,
                attempt: *attempt,
            })
            .collect();
        Ok(Some(SaleSnapshot {
            version: row.version,
            window: row.window,
            initial: row.initial_stock,
            remaining: row.remaining_stock,
            holders,
        }))
    }

    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let tables = self.tables();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let of = |sale: &SaleId| {
            let sale = *sale;
            let of_sale = tables.ended.iter().filter(move |order| order.sale == sale);
            of_sale.copied().take(limit)
        };
        Ok(sales.iter().flat_map(of).collect())
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        self.tables().ended.retain(|order| !orders.contains(order));
        Ok(())
    }

    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        let (now, until) = (self.millis(), self.millis_in(ttl));
        let leases = &mut self.tables().leases;
        Ok(leases.heartbeat(member, partitions, now, until))
    }

    async fn hand_back(
        &self,
        member: &Member,
        partitions: &[Partition],
    ) -> Result<(), LedgerError> {
        self.tables().leases.hand_back(member, Some(partitions));
        Ok(())
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        self.tables().leases.leave(member);
        Ok(())
    }

    async fn progress(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        Ok(self.progress_of(group, topic))
    }

    async fn reposition(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<bool, LedgerError> {
        let leases = &mut self.tables().leases;
        let there = leases.is_at(position, from);
        if there {
            leases.move_to(position, to, None);
        }
        Ok(there)
    }

    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        let tables = self.tables();
        let behind = tables.attempts.iter().filter(|(id, _)| Some(**id) > after);
        let row = |(id, settled): (&AttemptId, &Settled)| SettledAttempt {
            attempt: *id,
            sale: settled.sale,
            user: settled.user,
            ordered: settled.outcome == Outcome::Ordered,
            has_order: tables.orders.get(&(settled.sale, settled.user)) == Some(id),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(behind.map(row).take(limit).collect())
    }

    async fn note_decision(&self, log: &str, decision: &Decision) -> Result<(), LedgerError> {
        let has_reason = decision
            .reason
            .as_ref()
            .is_some_and(|text| !text.is_empty());
        if decision.verdict == Verdict::Discarded && !has_reason {
            return Err(LedgerError(
                "nothing is discarded without a reason".to_owned(),
            ));
        }
        let noted = (log.to_owned(), decision.clone());
        self.tables().decisions.push(noted);
        Ok(())
    }

    async fn decisions(&self, log: &str) -> Result<Vec<Decision>, LedgerError> {
        let tables = self.tables();
        let of_log = tables.decisions.iter().filter(|(name, _)| name == log);
        Ok(of_log.map(|(_, decision)| decision.clone()).collect())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
