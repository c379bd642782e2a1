//! An operator at an API node: changes the sale in the ledger, then in the gate, as that process does. It may die after
//! every step; the workers do the rest.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use flashsale::port::{
    EndOrdersOutcome, GateProbe, MovementId, MovementMode, OutcomeRecording, PortError, Restock,
    SaleChange, SaleEdit, SaleListing, SaleListings, SaleTermsControl, TermsOutcome,
    WithdrawOutcome, Withdrawals,
};

use super::{
    connection::Connection,
    node::{KEPT, Running},
    plan::{Operation, Server},
    ports::{RemoteGate, RemoteLedger},
    world::World,
};

/// How long an operator waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Starts an operation at a process.
pub(super) fn operate(world: &Arc<World>, at: &Arc<Running>, operation: Operation) {
    let connection = |server| Connection {
        world: Arc::clone(world),
        process: Arc::clone(&at.process),
        server,
    };
    let operator = Operator {
        world: Arc::clone(world),
        gate: RemoteGate {
            connection: connection(Server::Gate),
            gate: world.gate(),
        },
        ledger: RemoteLedger {
            connection: connection(Server::Ledger),
            ledger: Arc::clone(&world.ledger),
        },
    };
    let (world, process) = (Arc::clone(world), Arc::clone(&at.process));
    world.flying.fetch_add(1, Ordering::Relaxed);
    world.outside.clone().spawn(async move {
        tokio::select! {
            biased;
            done = operator.perform(operation) => {
                let what = || format!("the operator's {operation:?} at {}: {done:?}", process.name);
                world.note(what);
            }
            () = process.death() => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
        world.flying.fetch_sub(1, Ordering::Relaxed);
    });
}

struct Operator {
    world: Arc<World>,
    gate: RemoteGate,
    ledger: RemoteLedger,
}

/// How far an operation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The gate has applied it.
    Applied,
    /// The control loop completes it.
    Later,
    NotAllowed,
}

impl Operator {
    async fn perform(&self, operation: Operation) -> Result<Answer, PortError> {
        match operation {
            Operation::Pause => self.change(SaleChange::Pause).await,
            Operation::Resume => self.change(SaleChange::Resume).await,
            Operation::End => self.change(SaleChange::End).await,
            Operation::Cancel => self.change(SaleChange::Cancel).await,
            Operation::AddUnits(units) => self.change(SaleChange::AddUnits(units)).await,
            Operation::MoveEnd(from_now) => self.move_end(from_now).await,
            Operation::Withdraw(units, mode) => self.withdraw(units, mode).await,
            Operation::CancelOrder(number, restock) => self.cancel_order(number, restock).await,
        }
    }

    async fn change(&self, change: SaleChange) -> Result<Answer, PortError> {
        let now = self.gate.now().await?;
        let Some(after) = self
            .ledger
            .change_sale(self.world.sale, change, now)
            .await?
        else {
            return Ok(Answer::NotAllowed);
        };
        self.apply(&after, &[]).await
    }

    async fn move_end(&self, from_now: u64) -> Result<Answer, PortError> {
        let Some(listing) = self.listing().await? else {
            return Ok(Answer::NotAllowed);
        };
        let millis = i64::try_from(from_now).unwrap_or(i64::MAX);
        let edit = SaleEdit {
            expected: listing.version,
            end: Some(self.gate.now().await? + TimeDelta::milliseconds(millis)),
            ..SaleEdit::default()
        };
        self.change(SaleChange::Edit(edit)).await
    }

    /// The gate first, the ledger second; then the gate learns that it is done.
    async fn withdraw(&self, units: u32, mode: MovementMode) -> Result<Answer, PortError> {
        let sale = self.world.sale;
        let Some(seen) = self.listing().await? else {
            return Ok(Answer::NotAllowed);
        };
        let begun = self.ledger.begin_withdrawal(sale, units, mode).await?;
        let Some(movement) = begun else {
            return Ok(Answer::NotAllowed);
        };
        let gate = &self.gate;
        let taken = gate.withdraw(sale, movement.id, units, mode, seen.version);
        let taken = taken.await?;
        let WithdrawOutcome::Withdrawn(taken) = taken else {
            return Ok(Answer::Later);
        };
        self.ledger.close_withdrawal(movement.id, taken).await?;
        match self.listing().await? {
            Some(after) => self.apply(&after, &[movement.id]).await,
            None => Ok(Answer::Later),
        }
    }

    /// The terms first: without the unit in the ledger, the gate must not give it away.
    async fn cancel_order(&self, number: usize, restock: Restock) -> Result<Answer, PortError> {
        let (sale, product) = (self.world.sale, self.world.product);
        let orders = self.world.ledger.orders(sale);
        let Some(user) = orders.keys().nth(number % orders.len().max(1)).copied() else {
            return Ok(Answer::NotAllowed);
        };
        let Some(holder) = self.ledger.cancel_order(sale, user, restock).await? else {
            return Ok(Answer::NotAllowed);
        };
        let Some(after) = self.listing().await? else {
            return Ok(Answer::Later);
        };
        if self.apply(&after, &[]).await? == Answer::Later {
            return Ok(Answer::Later);
        }
        Ok(
            match self.gate.end_orders(sale, product, &[holder]).await? {
                EndOrdersOutcome::TakenOut => Answer::Applied,
                EndOrdersOutcome::NotOpen => Answer::Later,
            },
        )
    }

    async fn listing(&self) -> Result<Option<SaleListing>, PortError> {
        let long_ago = chrono::DateTime::<Utc>::UNIX_EPOCH;
        let listings = self.ledger.sales(long_ago).await?;
        let sale = self.world.sale;
        Ok(listings.into_iter().find(|listing| listing.id == sale))
    }

    async fn apply(&self, after: &SaleListing, closed: &[MovementId]) -> Result<Answer, PortError> {
        let terms = after.terms();
        let expires = terms.window.end + KEPT;
        let set = self
            .gate
            .set_terms(after.id, terms, closed, expires)
            .await?;
        Ok(match set {
            TermsOutcome::InForce => {
                self.world.terms_are_applied(terms);
                Answer::Applied
            }
            TermsOutcome::OthersInForce { .. } | TermsOutcome::NotOpen => Answer::Later,
        })
    }
}
