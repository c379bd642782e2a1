//! The ledger over a connection.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flashsale::{
    ids::{AttemptId, LedgerId, SaleId, UserId},
    port::{
        AccountChanges, AccountDirectory, AccountPage, AccountPosition, CommittedOffsets,
        ConsumerGroup, Credentials, DeadLetterDecision, DeadLetterDecisions, EndedOrder,
        EndedOrders, EventFeed, EventPage, EventPositions, EventRecording, FoundAccount, Lease,
        Ledger, LedgerAudit, LedgerError, LedgerProbe, Member, Movement, MovementId, NewUser,
        Offset, Outcome, Partition, PasswordHashOutcome, PendingEvents, Position, Registration,
        SaleListing, SaleListings, SaleSnapshot, SeekOutcome, SettleBatch, SettleError,
        SettledAttempt, Settlement, Settling, StoredUser, Withdrawals,
    },
};

use super::{super::world::short, RemoteLedger, attempts, describe, named, of_ledger, settlements};

impl Ledger for RemoteLedger {
    fn id(&self) -> LedgerId {
        self.ledger.id()
    }
}

#[async_trait]
impl AccountDirectory for RemoteLedger {
    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        let (ledger, user) = (Arc::clone(&self.ledger), user.clone());
        let what = || format!("ledger.register({} above {above})", user.username);
        let taken = user.clone();
        let effect = move || {
            let (ledger, user) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.register(&user, above).await }
        };
        of_ledger(self.connection.call(what, describe, effect).await)
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

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), ids.to_vec());
        let effect = move || {
            let (ledger, ids) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.find_accounts(&ids).await }
        };
        let what = || "ledger.find_accounts".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl Credentials for RemoteLedger {
    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        self.ledger.find_user(username).await
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError> {
        self.ledger.replace_password_hash(user, old, new).await
    }
}

#[async_trait]
impl SaleListings for RemoteLedger {
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

    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError> {
        of_ledger(call!(self.ledger.snapshot(sale), || {
            "ledger.snapshot".to_owned()
        }))
    }
}

#[async_trait]
impl Settling for RemoteLedger {
    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        of_ledger(call!(self.ledger.forget_admission_windows(), || {
            "ledger.forget_admission_windows".to_owned()
        }))
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
        of_ledger(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl ConsumerGroup for RemoteLedger {
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
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let (member, partitions) = (member.clone(), partitions.to_vec());
        let effect = move || {
            let (ledger, member, partitions) =
                (Arc::clone(&ledger), member.clone(), partitions.clone());
            async move { ledger.release(&member, &partitions).await }
        };
        let what = || "ledger.release".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        let (ledger, member) = (Arc::clone(&self.ledger), member.clone());
        let effect = move || {
            let (ledger, member) = (Arc::clone(&ledger), member.clone());
            async move { ledger.leave(&member).await }
        };
        let what = || "ledger.leave".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), position.clone());
        let what = || format!("ledger.seek({} from {from} to {to})", position.partition);
        let effect = move || {
            let (ledger, position) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.seek(&position, from, to).await }
        };
        of_ledger(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl CommittedOffsets for RemoteLedger {
    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let effect = move || {
            let (ledger, group, topic) = (Arc::clone(&ledger), group.clone(), topic.clone());
            async move { ledger.committed_offsets(&group, &topic).await }
        };
        let what = || "ledger.committed_offsets".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl Withdrawals for RemoteLedger {
    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        let (ledger, asked) = (Arc::clone(&self.ledger), sales.to_vec());
        let effect = move || {
            let (ledger, sales) = (Arc::clone(&ledger), asked.clone());
            async move { ledger.pending_movements(&sales).await }
        };
        let what = || "ledger.pending_movements".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let effect = move || {
            let ledger = Arc::clone(&ledger);
            async move { ledger.unlisted_movements(since).await }
        };
        let what = || "ledger.unlisted_movements".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        let (ledger, asked) = (Arc::clone(&self.ledger), ids.to_vec());
        let effect = move || {
            let (ledger, ids) = (Arc::clone(&ledger), asked.clone());
            async move { ledger.movements(&ids).await }
        };
        let what = || "ledger.movements".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        of_ledger(call!(self.ledger.close_withdrawal(movement, taken), || {
            format!("ledger.close_withdrawal({} took {taken})", movement.0)
        }))
    }
}

#[async_trait]
impl EndedOrders for RemoteLedger {
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

    async fn unlisted_ended_orders(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let effect = move || {
            let ledger = Arc::clone(&ledger);
            async move { ledger.unlisted_ended_orders(since, limit).await }
        };
        let what = || "ledger.unlisted_ended_orders".to_owned();
        of_ledger(self.connection.call(what, describe, effect).await)
    }

    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError> {
        let (ledger, taken) = (Arc::clone(&self.ledger), orders.to_vec());
        let holders: Vec<_> = orders.iter().map(|order| order.holder).collect();
        let what = || format!("ledger.note_ended({})", named(&holders));
        let effect = move || {
            let (ledger, orders) = (Arc::clone(&ledger), taken.clone());
            async move { ledger.note_ended(&orders).await }
        };
        of_ledger(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl EventFeed for RemoteLedger {
    // What delivers events runs in tests/simulation/events.rs, on the model.

    async fn events_after(
        &self,
        sale: SaleId,
        after: u64,
        limit: u32,
    ) -> Result<Option<EventPage>, LedgerError> {
        self.ledger.events_after(sale, after, limit).await
    }
}

#[async_trait]
impl EventPositions for RemoteLedger {
    async fn record_events(&self, recording: EventRecording) -> Result<(), LedgerError> {
        self.ledger.record_events(recording).await
    }

    async fn pending_events(&self, consumer: &str) -> Result<Vec<PendingEvents>, LedgerError> {
        self.ledger.pending_events(consumer).await
    }

    async fn event_positions(&self, consumer: &str) -> Result<BTreeMap<SaleId, u64>, LedgerError> {
        self.ledger.event_positions(consumer).await
    }

    async fn advance_events(
        &self,
        consumer: &str,
        sale: SaleId,
        from: Option<u64>,
        to: u64,
    ) -> Result<SeekOutcome, LedgerError> {
        self.ledger.advance_events(consumer, sale, from, to).await
    }

    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, LedgerError> {
        self.ledger.prune_events(before, limit).await
    }
}

#[async_trait]
impl DeadLetterDecisions for RemoteLedger {
    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError> {
        self.ledger.note_decision(log, decision).await
    }

    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        self.ledger.decisions(log).await
    }
}

#[async_trait]
impl LedgerAudit for RemoteLedger {
    // What audits and operators ask: not simulated.

    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        self.ledger.settled(after, limit).await
    }
}

#[async_trait]
impl LedgerProbe for RemoteLedger {
    async fn ping(&self) -> Result<(), LedgerError> {
        of_ledger(call!(self.ledger.ping(), || "ledger.ping".to_owned()))
    }
}
