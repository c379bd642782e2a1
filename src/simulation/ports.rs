//! The three ports as a process has them: every call goes over a connection with faults.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    connection::{Connection, Failure},
    world::short,
};
use crate::{
    engine::model::{ModelGate, ModelLedger, ModelLog},
    ids::{AttemptId, LedgerId, ProductId, SaleId, UserId},
    port::{
        AccountChanges, AccountPage, AccountPosition, AppendError, Attempt, AttemptLog,
        Contradiction, DeadLetter, Decision, EndedOrder, GateError, GateStatus, Holder, Holding,
        Lease, Ledger, LedgerError, LetterPage, LoadToken, LogBatch, LogError, Member, NewUser,
        Offset, Outcome, Partition, PendingEntry, Position, PurchaseResult, Registration,
        ReleaseOutcome, ReserveOutcome, ResultEntry, SaleListing, SaleSnapshot, SaleTerms,
        SettleBatch, SettleError, SettledAttempt, Settlement, StockGate, StoredUser,
    },
};

pub(super) struct RemoteGate {
    pub(super) connection: Connection,
    pub(super) gate: Arc<ModelGate>,
}

pub(super) struct RemoteLog {
    pub(super) connection: Connection,
    pub(super) log: Arc<ModelLog>,
}

pub(super) struct RemoteLedger {
    pub(super) connection: Connection,
    pub(super) ledger: Arc<ModelLedger>,
}

/// A call of an engine over the connection. The arguments in brackets are taken along, owned.
macro_rules! call {
    ($self:ident.$engine:ident.$method:ident($($argument:expr),*), $what:expr) => {{
        let engine = Arc::clone(&$self.$engine);
        $self
            .connection
            .call($what, told, move || {
                let engine = Arc::clone(&engine);
                call!(@future engine, $method, $($argument),*)
            })
            .await
    }};
    (@future $engine:ident, $method:ident, $($argument:expr),*) => {{
        async move { $engine.$method($($argument),*).await }
    }};
}

/// An answer as the trace shows it.
fn told<T: Debug, E: Debug>(answer: &Result<T, E>) -> String {
    match answer {
        Ok(answer) => plain(&format!("{answer:?}")),
        Err(error) => format!("{error:?}"),
    }
}

/// Debug output without the wrappers of ids.
fn plain(text: &str) -> String {
    text.replace("AttemptId(00000000-0000-0000-0000-", "#(")
        .replace("UserId", "")
        .replace("SaleId", "")
        .replace("ProductId", "")
        .replace("NonZero", "")
}

fn named(holders: &[Holder]) -> String {
    let names: Vec<_> = holders
        .iter()
        .map(|holder| format!("{} of {}", short(holder.attempt), holder.user))
        .collect();
    names.join(", ")
}

fn attempts(attempts: &[Attempt]) -> String {
    let names: Vec<_> = attempts
        .iter()
        .map(|attempt| format!("{} of {}", short(attempt.id), attempt.user))
        .collect();
    names.join(", ")
}

fn settlements(settlements: &[Settlement]) -> String {
    let names: Vec<_> = settlements
        .iter()
        .map(|settlement| {
            let attempt = &settlement.attempt;
            let outcome = plain(&format!("{:?}", settlement.outcome));
            format!("{} of {}: {outcome}", short(attempt.id), attempt.user)
        })
        .collect();
    names.join(", ")
}

fn of_gate<T>(answer: Result<Result<T, GateError>, Failure>) -> Result<T, GateError> {
    match answer {
        Ok(answer) => answer,
        Err(Failure::Refused(cause)) => Err(GateError::Refused(cause)),
        Err(Failure::Unknown(cause)) => Err(GateError::Unknown(cause)),
    }
}

fn of_log<T>(answer: Result<Result<T, LogError>, Failure>) -> Result<T, LogError> {
    match answer {
        Ok(answer) => answer,
        Err(Failure::Refused(cause) | Failure::Unknown(cause)) => Err(LogError::Unavailable(cause)),
    }
}

fn of_ledger<T, E: From<LedgerError>>(answer: Result<Result<T, E>, Failure>) -> Result<T, E> {
    match answer {
        Ok(answer) => answer,
        Err(Failure::Refused(cause) | Failure::Unknown(cause)) => Err(LedgerError(cause).into()),
    }
}

#[async_trait]
impl StockGate for RemoteGate {
    fn outlives_process(&self) -> bool {
        self.gate.outlives_process()
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        let (gate, asked) = (Arc::clone(&self.gate), asked.to_vec());
        let what = || format!("gate.reserve({})", named(&asked));
        let taken = asked.clone();
        let effect = move || {
            let (gate, asked) = (Arc::clone(&gate), taken.clone());
            async move { gate.reserve(sale, &asked).await }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        of_gate(call!(self.gate.release(sale, holder), || {
            format!("gate.release({})", named(&[holder]))
        }))
    }

    async fn record(&self, sale: SaleId, recorded: &[Settlement]) -> Result<(), GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), recorded.to_vec());
        let what = || format!("gate.record({})", settlements(recorded));
        let effect = move || {
            let (gate, recorded) = (Arc::clone(&gate), taken.clone());
            async move { gate.record(sale, &recorded).await }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), results.to_vec());
        let what = || {
            let users: Vec<_> = results.iter().map(|entry| entry.user.to_string()).collect();
            format!("gate.write_results(FAILED for {})", users.join(", "))
        };
        let effect = move || {
            let (gate, results) = (Arc::clone(&gate), taken.clone());
            async move { gate.write_results(&results).await }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        of_gate(call!(self.gate.read_result(user, product, sale), || {
            format!("gate.read_result({user})")
        }))
    }

    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        let world = &self.connection.world;
        let now = self.gate.status(sale).await;
        if now.is_ok_and(|now| now.is_contradictory()) && !world.seen().key_lost {
            world.broken("the gate's units and holders do not add up".to_owned());
        }
        of_gate(call!(self.gate.status(sale), || "gate.status".to_owned()))
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        of_gate(call!(self.gate.holders(sale), || "gate.holders".to_owned()))
    }

    async fn close(&self, sale: SaleId, anyway: bool) -> Result<Option<Contradiction>, GateError> {
        of_gate(call!(self.gate.close(sale, anyway), || {
            format!("gate.close(anyway: {anyway})")
        }))
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        of_gate(call!(self.gate.relist(sale), || "gate.relist".to_owned()))
    }

    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<bool, GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), ended.to_vec());
        let what = || format!("gate.end_orders({})", named(ended));
        let effect = move || {
            let (gate, ended) = (Arc::clone(&gate), taken.clone());
            async move { gate.end_orders(sale, product, &ended).await }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        of_gate(call!(self.gate.overdue(sale, age, limit), || {
            format!("gate.overdue({} ms)", age.as_millis())
        }))
    }

    async fn claim(&self, sale: SaleId, holders: &[Holder]) -> Result<Vec<bool>, GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), holders.to_vec());
        let what = || format!("gate.claim({})", named(holders));
        let effect = move || {
            let (gate, holders) = (Arc::clone(&gate), taken.clone());
            async move { gate.claim(sale, &holders).await }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<bool, GateError> {
        of_gate(call!(self.gate.begin_load(sale, token, lease), || {
            "gate.begin_load".to_owned()
        }))
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<bool, GateError> {
        let (gate, loaded) = (Arc::clone(&self.gate), holders.to_vec());
        let what = || format!("gate.load_holders({})", named(holders));
        let effect = move || {
            let (gate, holders) = (Arc::clone(&gate), loaded.clone());
            async move { gate.load_holders(sale, token, &holders).await }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        expires: DateTime<Utc>,
    ) -> Result<bool, GateError> {
        let (gate, world) = (Arc::clone(&self.gate), Arc::clone(&self.connection.world));
        let what = || format!("gate.open({remaining} units)");
        let effect = move || {
            let (gate, world) = (Arc::clone(&gate), Arc::clone(&world));
            async move {
                let opened = gate.open(sale, token, terms, remaining, expires).await;
                if matches!(opened, Ok(true)) {
                    world.opened();
                }
                opened
            }
        };
        of_gate(self.connection.call(what, told, effect).await)
    }

    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        expires: DateTime<Utc>,
    ) -> Result<bool, GateError> {
        of_gate(call!(self.gate.set_terms(sale, terms, expires), || {
            format!("gate.set_terms({}, {} units)", terms.version, terms.total)
        }))
    }

    // What audits and repairs ask: not simulated.

    async fn holdings(&self, sale: SaleId) -> Result<Vec<Holding>, GateError> {
        self.gate.holdings(sale).await
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        self.gate.stored_results(sale, product, users).await
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.gate.forget_results(results).await
    }

    async fn unload(&self, sale: SaleId) -> Result<bool, GateError> {
        self.gate.unload(sale).await
    }

    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        of_gate(call!(self.gate.now(), || "gate.now()".to_owned()))
    }

    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        of_gate(call!(self.gate.account_mark(), || {
            "gate.account_mark".to_owned()
        }))
    }

    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError> {
        of_gate(call!(self.gate.raise_account_mark(to), || {
            format!("gate.raise_account_mark({to})")
        }))
    }

    async fn ping(&self) -> Result<(), GateError> {
        of_gate(call!(self.gate.ping(), || "gate.ping".to_owned()))
    }
}

#[async_trait]
impl AttemptLog for RemoteLog {
    fn name(&self) -> &str {
        self.log.name()
    }

    fn partitions(&self) -> i32 {
        self.log.partitions()
    }

    /// Partition by partition, each with a fate of its own, as a produce request is.
    async fn append(&self, appended: &[Attempt]) -> Vec<Result<(), AppendError>> {
        let mut by_partition: BTreeMap<Partition, Vec<Attempt>> = BTreeMap::new();
        for attempt in appended {
            let partition = self.log.partition_of(attempt.user);
            by_partition.entry(partition).or_default().push(*attempt);
        }
        let parts = by_partition
            .into_iter()
            .map(|(partition, part)| async move {
                let (log, taken) = (Arc::clone(&self.log), part.clone());
                let what = || format!("log.append({})", attempts(&part));
                let effect = move || {
                    let (log, part) = (Arc::clone(&log), taken.clone());
                    async move { log.append(&part).await }
                };
                let done = |_: &Vec<_>| "Written".to_owned();
                let answer = match self.connection.call(what, done, effect).await {
                    Ok(_) => Ok(()),
                    Err(Failure::Refused(cause)) => Err(AppendError::NotWritten(cause)),
                    Err(Failure::Unknown(cause)) => Err(AppendError::Unknown(cause)),
                };
                (partition, answer)
            });
        let answers: BTreeMap<_, _> = futures::future::join_all(parts).await.into_iter().collect();
        appended
            .iter()
            .map(|attempt| {
                let answer = answers.get(&self.log.partition_of(attempt.user));
                answer.cloned().unwrap_or(Ok(()))
            })
            .collect()
    }

    async fn read(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError> {
        let log = Arc::clone(&self.log);
        let what = || format!("log.read({partition} from {from})");
        let done = |answer: &Result<LogBatch, LogError>| match answer {
            Ok(batch) => format!("{} records", batch.records.len()),
            Err(error) => error.to_string(),
        };
        let effect = move || {
            let log = Arc::clone(&log);
            async move { log.read(partition, from).await }
        };
        of_log(self.connection.call(what, done, effect).await)
    }

    async fn earliest(&self, partition: Partition) -> Result<Offset, LogError> {
        of_log(call!(self.log.earliest(partition), || {
            format!("log.earliest({partition})")
        }))
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        of_log(call!(self.log.ends(), || "log.ends".to_owned()))
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let (log, taken) = (Arc::clone(&self.log), letters.to_vec());
        let what = || format!("log.bury({} letters)", letters.len());
        let effect = move || {
            let (log, letters) = (Arc::clone(&log), taken.clone());
            async move { log.bury(&letters).await }
        };
        of_log(self.connection.call(what, told, effect).await)
    }

    fn dead_letter_partitions(&self) -> i32 {
        self.log.dead_letter_partitions()
    }

    async fn dead_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<LetterPage, LogError> {
        self.log.dead_letters(partition, from).await
    }

    async fn ping(&self) -> Result<(), LogError> {
        of_log(call!(self.log.ping(), || "log.ping".to_owned()))
    }
}

#[async_trait]
impl Ledger for RemoteLedger {
    fn id(&self) -> LedgerId {
        self.ledger.id()
    }

    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        let (ledger, user) = (Arc::clone(&self.ledger), user.clone());
        let what = || format!("ledger.register({} above {above})", user.username);
        let taken = user.clone();
        let effect = move || {
            let (ledger, user) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.register(&user, above).await }
        };
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError> {
        of_ledger(call!(self.ledger.continue_accounts_above(id), || {
            format!("ledger.continue_accounts_above({id})")
        }))
    }

    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), since.cloned());
        let effect = move || {
            let (ledger, since) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.account_changes(since.as_ref()).await }
        };
        let done = |_: &Result<AccountChanges, LedgerError>| "read".to_owned();
        let what = || "ledger.account_changes".to_owned();
        of_ledger(self.connection.call(what, done, effect).await)
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let effect = move || {
            let ledger = Arc::clone(&ledger);
            async move { ledger.accounts_after(after, limit).await }
        };
        let done = |_: &Result<AccountPage, LedgerError>| "read".to_owned();
        let what = || "ledger.accounts_after".to_owned();
        of_ledger(self.connection.call(what, done, effect).await)
    }

    async fn find_accounts(
        &self,
        ids: &[UserId],
    ) -> Result<Vec<(UserId, DateTime<Utc>)>, LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), ids.to_vec());
        let effect = move || {
            let (ledger, ids) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.find_accounts(&ids).await }
        };
        let what = || "ledger.find_accounts".to_owned();
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        self.ledger.find_user(username).await
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<bool, LedgerError> {
        self.ledger.replace_password_hash(user, old, new).await
    }

    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let done = |_: &Result<Vec<SaleListing>, LedgerError>| "listed".to_owned();
        let effect = move || {
            let ledger = Arc::clone(&ledger);
            async move { ledger.sales(since).await }
        };
        let what = || "ledger.sales".to_owned();
        of_ledger(self.connection.call(what, done, effect).await)
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let what = || {
            let settled: Vec<_> = batches
                .iter()
                .map(|batch| {
                    let (partition, from, to) = (batch.position.partition, batch.from, batch.to);
                    let settled = attempts(&batch.attempts);
                    format!("{partition} from {from} to {to}: {settled}")
                })
                .collect();
            format!("ledger.settle({})", settled.join("; "))
        };
        let done = |answer: &Result<Vec<Vec<Settlement>>, SettleError>| match answer {
            Ok(settled) => settlements(&settled.concat()),
            Err(error) => error.to_string(),
        };
        let (ledger, taken) = (Arc::clone(&self.ledger), batches.to_vec());
        let effect = move || {
            let (ledger, batches) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.settle(&batches).await }
        };
        of_ledger(self.connection.call(what, done, effect).await)
    }

    async fn outcomes(
        &self,
        asked: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), asked.to_vec());
        let what = || {
            let names: Vec<_> = asked.iter().map(|id| short(*id)).collect();
            format!("ledger.outcomes({})", names.join(", "))
        };
        let effect = move || {
            let (ledger, asked) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.outcomes(&asked).await }
        };
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        of_ledger(call!(self.ledger.snapshot(sale), || {
            "ledger.snapshot".to_owned()
        }))
    }

    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let (ledger, asked) = (Arc::clone(&self.ledger), sales.to_vec());
        let done = |answer: &Result<Vec<EndedOrder>, LedgerError>| match answer {
            Ok(ended) => format!("{} ended", ended.len()),
            Err(error) => error.to_string(),
        };
        let effect = move || {
            let (ledger, sales) = (Arc::clone(&ledger), asked.clone());
            async move { ledger.ended_orders(&sales, limit).await }
        };
        let what = || "ledger.ended_orders".to_owned();
        of_ledger(self.connection.call(what, done, effect).await)
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), orders.to_vec());
        let holders: Vec<_> = orders.iter().map(|order| order.holder).collect();
        let what = || format!("ledger.note_ended({})", named(&holders));
        let effect = move || {
            let (ledger, orders) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.note_ended(&orders).await }
        };
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), member.clone());
        let what = || format!("ledger.heartbeat({})", member.id);
        let effect = move || {
            let (ledger, member) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.heartbeat(&member, partitions, ttl).await }
        };
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn hand_back(
        &self,
        member: &Member,
        partitions: &[Partition],
    ) -> Result<(), LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let (member, partitions) = (member.clone(), partitions.to_vec());
        let effect = move || {
            let (ledger, member, partitions) =
                (Arc::clone(&ledger), member.clone(), partitions.clone());
            async move { ledger.hand_back(&member, &partitions).await }
        };
        let what = || "ledger.hand_back".to_owned();
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        let (ledger, member) = (Arc::clone(&self.ledger), member.clone());
        let effect = move || {
            let (ledger, member) = (Arc::clone(&ledger), member.clone());
            async move { ledger.leave(&member).await }
        };
        let what = || "ledger.leave".to_owned();
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn progress(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let effect = move || {
            let (ledger, group, topic) = (Arc::clone(&ledger), group.clone(), topic.clone());
            async move { ledger.progress(&group, &topic).await }
        };
        let what = || "ledger.progress".to_owned();
        of_ledger(self.connection.call(what, told, effect).await)
    }

    async fn reposition(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<bool, LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), position.clone());
        let what = || {
            format!(
                "ledger.reposition({} from {from} to {to})",
                position.partition
            )
        };
        let effect = move || {
            let (ledger, position) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.reposition(&position, from, to).await }
        };
        of_ledger(self.connection.call(what, told, effect).await)
    }

    // What audits and operators ask: not simulated.

    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        self.ledger.settled(after, limit).await
    }

    async fn note_decision(&self, log: &str, decision: &Decision) -> Result<(), LedgerError> {
        self.ledger.note_decision(log, decision).await
    }

    async fn decisions(&self, log: &str) -> Result<Vec<Decision>, LedgerError> {
        self.ledger.decisions(log).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        of_ledger(call!(self.ledger.ping(), || "ledger.ping".to_owned()))
    }
}
