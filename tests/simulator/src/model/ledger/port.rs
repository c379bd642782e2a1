//! The port, over the tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flashsale::{
    account_key::AccountKey,
    ids::{AttemptId, LedgerId, SaleId, UserId},
    port::{
        AccountChanges, AccountDirectory, AccountPage, AccountPosition, CommittedOffsets,
        ConsumerGroup, Credentials, DeadLetterAction, DeadLetterDecision, DeadLetterDecisions,
        EarlierReads, EndedOrder, EndedOrders, FoundAccount, Holder, Lease, Ledger, LedgerAudit,
        LedgerError, LedgerProbe, Member, Movement, MovementId, NewUser, Offset, Outcome,
        Partition, PasswordHashOutcome, Position, Registration, Role, SaleListing, SaleListings,
        SaleSnapshot, SeekOutcome, SessionRule, SettleBatch, SettleError, SettledAttempt,
        Settlement, Settling, StoredUser, Withdrawals,
    },
    rules::settlement::{self, Settled},
};

use super::{LedgerRead, ModelLedger};

impl Ledger for ModelLedger {
    fn id(&self) -> LedgerId {
        self.id
    }
}

#[async_trait]
impl AccountDirectory for ModelLedger {
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
            email: user.email.clone(),
            password_hash: user.password_hash.clone(),
            role: Role::User,
            created_at: now,
            sessions: SessionRule::default(),
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
        let epoch = tables.set_back.to_string();
        let read = since.map_or(usize::MAX, |position| {
            usize::try_from(position.read_before).unwrap_or(usize::MAX)
        });
        let removed = tables.removed.iter().skip(read);
        Ok(AccountChanges {
            earlier: match since {
                Some(position) if position.epoch != epoch => EarlierReads::Void,
                _ => EarlierReads::Valid,
            },
            removed: removed.map(|id| id.value()..=id.value()).collect(),
            sessions: Vec::new(),
            position: AccountPosition {
                epoch,
                read_before: tables.removed.len() as u64,
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

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        let tables = self.tables();
        let found = |id: &UserId| {
            let (user, _) = tables.users.get(id)?;
            Some(FoundAccount {
                id: *id,
                made_at: user.created_at,
                sessions: user.sessions,
            })
        };
        Ok(ids.iter().filter_map(found).collect())
    }
}

#[async_trait]
impl Credentials for ModelLedger {
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
    ) -> Result<PasswordHashOutcome, LedgerError> {
        let mut tables = self.tables();
        let stored = tables.users.get_mut(&user).map(|(user, _)| user);
        let stored = stored.filter(|user| user.password_hash == old);
        let Some(stored) = stored else {
            return Ok(PasswordHashOutcome::Superseded);
        };
        new.clone_into(&mut stored.password_hash);
        Ok(PasswordHashOutcome::Replaced)
    }
}

#[async_trait]
impl SaleListings for ModelLedger {
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
        drop(tables);
        self.was_read(LedgerRead::Sales);
        Ok(listed)
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
        let snapshot = SaleSnapshot {
            switch: row.switch,
            version: row.version,
            window: row.window,
            initial: row.initial_stock,
            remaining: row.remaining_stock,
            holders,
            movements: tables.pending_movements(&[sale]),
        };
        drop(tables);
        self.was_read(LedgerRead::Snapshot);
        Ok(Some(snapshot))
    }
}

#[async_trait]
impl Settling for ModelLedger {
    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        self.tables().admitted.clear();
        Ok(())
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let now = self.clock.now();
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
        let before = tables.before();
        tables.write_down(&decision);
        tables.note_events(&before, now);
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
        let outcomes = attempts.iter().filter_map(outcome).collect();
        drop(tables);
        self.was_read(LedgerRead::Outcomes);
        Ok(outcomes)
    }
}

#[async_trait]
impl ConsumerGroup for ModelLedger {
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

    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError> {
        self.tables().leases.release(member, Some(partitions));
        Ok(())
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        self.tables().leases.leave(member);
        Ok(())
    }

    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError> {
        let leases = &mut self.tables().leases;
        if !leases.is_at(position, from) {
            return Ok(SeekOutcome::Fenced);
        }
        leases.move_to(position, to, None);
        Ok(SeekOutcome::Moved)
    }
}

#[async_trait]
impl CommittedOffsets for ModelLedger {
    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        Ok(self.progress_of(group, topic))
    }
}

#[async_trait]
impl Withdrawals for ModelLedger {
    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        let pending = self.tables().pending_movements(sales);
        self.was_read(LedgerRead::PendingMovements);
        Ok(pending)
    }

    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        let tables = self.tables();
        let ended = tables.sales.values().filter(|row| row.window.end <= since);
        let ended: Vec<_> = ended.map(|row| row.id).collect();
        let mut pending = tables.pending_movements(&ended);
        pending.truncate(100);
        Ok(pending)
    }

    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        let tables = self.tables();
        let known = ids.iter().filter_map(|id| tables.movements.get(id));
        Ok(known.copied().collect())
    }

    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        if self.damaged.load(Ordering::Relaxed) {
            return Err(LedgerError("the action log is damaged".to_owned()));
        }
        let now = self.clock.now();
        let mut tables = self.tables();
        let before = tables.before();
        let closed = tables.close_withdrawal(movement, taken);
        tables.note_events(&before, now);
        Ok(closed)
    }
}

#[async_trait]
impl EndedOrders for ModelLedger {
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

    async fn unlisted_ended_orders(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let tables = self.tables();
        let is_over = |order: &&EndedOrder| {
            let row = tables.sales.get(&order.sale);
            row.is_some_and(|row| row.window.end <= since)
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let ended = tables.ended.iter().filter(is_over);
        Ok(ended.copied().take(limit).collect())
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        self.tables().ended.retain(|order| !orders.contains(order));
        Ok(())
    }
}

#[async_trait]
impl DeadLetterDecisions for ModelLedger {
    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError> {
        let has_reason = decision
            .reason
            .as_ref()
            .is_some_and(|text| !text.is_empty());
        if decision.action == DeadLetterAction::Discarded && !has_reason {
            return Err(LedgerError(
                "nothing is discarded without a reason".to_owned(),
            ));
        }
        let noted = (log.to_owned(), decision.clone());
        self.tables().decisions.push(noted);
        Ok(())
    }

    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        let tables = self.tables();
        let of_log = tables.decisions.iter().filter(|(name, _)| name == log);
        Ok(of_log.map(|(_, decision)| decision.clone()).collect())
    }
}

#[async_trait]
impl LedgerAudit for ModelLedger {
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
}

#[async_trait]
impl LedgerProbe for ModelLedger {
    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
