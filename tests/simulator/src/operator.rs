//! An operator at an API node, which changes the sale as that process does. It may die after every step; the workers do the rest.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use flashsale::{
    port::{
        ActionEntry, Actor, AdminError, MovementMode, Restock, SaleChange, SaleEdit, SaleRecord,
    },
    sale::{Applied, Steering, forms::Units},
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
    let operator = Operator {
        world: Arc::clone(world),
        steering: steering(world, at),
    };
    let (world, process) = (Arc::clone(world), Arc::clone(&at.process));
    world.flying.fetch_add(1, Ordering::Relaxed);
    world.outside.clone().spawn(async move {
        tokio::select! {
            biased;
            done = operator.perform(operation) => {
                if matches!(done, Ok(Answer::Applied | Answer::Later)) {
                    count(&world, operation);
                }
                let what = || format!("the operator's {operation:?} at {}: {done:?}", process.name);
                world.note(what);
            }
            () = process.death() => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
        world.flying.fetch_sub(1, Ordering::Relaxed);
    });
}

fn count(world: &World, operation: Operation) {
    if let Some(made) = world.seen().operations.get_mut(operation.kind()) {
        *made += 1;
    }
}

fn steering(world: &Arc<World>, at: &Arc<Running>) -> Steering {
    let connection = |server| Connection {
        world: Arc::clone(world),
        process: Arc::clone(&at.process),
        server,
    };
    let ledger = Arc::new(RemoteLedger {
        connection: connection(Server::Ledger),
        ledger: Arc::clone(&world.ledger),
    });
    Steering {
        admin: ledger.clone(),
        withdrawals: ledger.clone(),
        ended_orders: ledger,
        gate: Some(Arc::new(RemoteGate {
            connection: connection(Server::Gate),
            gate: world.gate(),
        })),
        clock: at.clock.clone(),
        keep: KEPT,
    }
}

struct Operator {
    world: Arc<World>,
    steering: Steering,
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
    async fn perform(&self, operation: Operation) -> Result<Answer, AdminError> {
        let answer = match operation {
            Operation::Pause => self.change(SaleChange::Pause).await,
            Operation::Resume => self.change(SaleChange::Resume).await,
            Operation::End => self.change(SaleChange::End).await,
            Operation::Cancel => self.change(SaleChange::Cancel).await,
            Operation::AddUnits(units) => self.change(SaleChange::AddUnits(units)).await,
            Operation::MoveEnd(from_now) => self.move_end(from_now).await,
            Operation::Withdraw(units, mode) => self.withdraw(units, mode).await,
            Operation::CancelOrder(number, restock) => self.cancel_order(number, restock).await,
        };
        match answer {
            Err(AdminError::NotAllowed(_) | AdminError::NotFound) => Ok(Answer::NotAllowed),
            answer => answer,
        }
    }

    async fn change(&self, change: SaleChange) -> Result<Answer, AdminError> {
        let sale = self.world.sale;
        let steered = self.steering.change(sale, &change, &entry()).await?;
        Ok(self.answer(&steered.sale, steered.applied))
    }

    async fn move_end(&self, from_now: u64) -> Result<Answer, AdminError> {
        let record = self.steering.record(self.world.sale).await?;
        let millis = i64::try_from(from_now).unwrap_or(i64::MAX);
        let edit = SaleEdit {
            expected: record.version,
            end: Some(self.steering.now().await + TimeDelta::milliseconds(millis)),
            ..SaleEdit::default()
        };
        self.change(SaleChange::Edit(edit)).await
    }

    async fn withdraw(&self, units: u32, mode: MovementMode) -> Result<Answer, AdminError> {
        let (sale, units) = (self.world.sale, Units::Withdraw(units, mode));
        let shifted = self.steering.shift(sale, units, &entry()).await?;
        Ok(self.answer(&shifted.sale, shifted.applied))
    }

    async fn cancel_order(&self, number: usize, restock: Restock) -> Result<Answer, AdminError> {
        let orders = self.world.ledger.orders(self.world.sale);
        let Some(attempt) = orders.values().nth(number % orders.len().max(1)) else {
            return Ok(Answer::NotAllowed);
        };
        let cancelled = self
            .steering
            .cancel_order(*attempt, restock, &entry())
            .await?;
        Ok(match cancelled.applied {
            Applied::At(_) => Answer::Applied,
            Applied::Later => Answer::Later,
        })
    }

    fn answer(&self, sale: &SaleRecord, applied: Applied) -> Answer {
        match applied {
            Applied::At(_) => {
                self.world.terms_are_applied(sale.terms());
                Answer::Applied
            }
            Applied::Later => Answer::Later,
        }
    }
}

fn entry() -> ActionEntry {
    ActionEntry {
        actor: Actor {
            name: "user:1".to_owned(),
            role: "operator".to_owned(),
            address: None,
        },
        reason: String::new(),
        key: None,
    }
}
