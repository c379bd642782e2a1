//! The three ports as a process has them: every call goes over a connection with faults.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use flashsale::port::{Attempt, GateError, Holder, LedgerError, LogError, MovementId, Settlement};

use super::{
    connection::{Connection, Failure},
    world::short,
};
use crate::model::{ModelGate, ModelLedger, ModelLog};

pub(super) struct RemoteGate {
    pub(super) connection: Connection,
    pub(super) gate: Arc<ModelGate>,
}

pub(super) struct RemoteLog {
    connection: Connection,
    log: Arc<ModelLog>,
    /// How many partitions there were at the last look, and when that was.
    looked: Mutex<(i32, u64)>,
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
            .call($what, describe, move || {
                let engine = Arc::clone(&engine);
                call!(@future engine, $method, $($argument),*)
            })
            .await
    }};
    (@future $engine:ident, $method:ident, $($argument:expr),*) => {{
        async move { $engine.$method($($argument),*).await }
    }};
}

// Behind the macro, which they use.
mod administration;
mod gate;
mod ledger;
mod log;

/// An answer as the trace shows it.
fn describe<T: Debug, E: Debug>(answer: &Result<T, E>) -> String {
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

/// A movement as the trace names it.
fn moved(movement: MovementId) -> String {
    format!("movement #{}", movement.0.as_u128())
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
