//! What the ledger decided, recorded in the gate. The rules, and why the balance holds, are in `record_outcomes.lua`.

use fred::prelude::Value;

use super::{
    connection::Connection,
    keys::{CALL_SIZE, bytes, sale_keys, user_arg},
    scripts::SCRIPTS,
};
use crate::{
    ids::SaleId,
    port::{GateError, Outcome, PurchaseResult, ResultEntry, Settlement},
};

pub(super) async fn record(
    connection: &Connection,
    sale: SaleId,
    settlements: &[Settlement],
) -> Result<(), GateError> {
    for part in settlements.chunks(CALL_SIZE) {
        let mut args = Vec::with_capacity(part.len() * 2);
        for settlement in part {
            args.push(user_arg(settlement.attempt.user));
            args.push(decision(settlement));
        }
        connection
            .run(&SCRIPTS.record_outcomes, sale_keys(sale), args)
            .await?;
    }
    Ok(())
}

/// What the shopper is told.
pub(super) fn result_of(settlement: &Settlement) -> ResultEntry {
    let result = match settlement.outcome {
        Outcome::Ordered | Outcome::AlreadyOrdered { .. } => PurchaseResult::Success,
        Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected => PurchaseResult::Failed,
    };
    let attempt = &settlement.attempt;
    ResultEntry {
        sale: attempt.sale,
        product: attempt.product,
        user: attempt.user,
        result,
    }
}

/// A letter, the attempt's id and, if another attempt ordered, that one's.
fn decision(settlement: &Settlement) -> Value {
    let (letter, by) = match settlement.outcome {
        Outcome::Ordered => (b'O', None),
        Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected => (b'F', None),
        Outcome::AlreadyOrdered { by } => (b'A', Some(by)),
    };
    let mut text = Vec::with_capacity(33);
    text.push(letter);
    text.extend_from_slice(settlement.attempt.id.0.as_bytes());
    if let Some(by) = by {
        text.extend_from_slice(by.0.as_bytes());
    }
    bytes(text)
}
