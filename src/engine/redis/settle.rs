//! Records the ledger's decisions in the gate. The rules, and why the balance holds, are in `record_outcomes.lua`.

use async_trait::async_trait;
use fred::prelude::Value;

use super::{
    RedisGate, announcements,
    connection::Connection,
    hold::parse_user,
    keys::{CALL_SIZE, bytes, channel, shopper_args, user_arg},
    reply, results,
    scripts::SCRIPTS,
};
use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{
        EndOrdersOutcome, GateError, Holder, Outcome, OutcomeRecording, PurchaseResult,
        ResultEntry, Settlement,
    },
    telemetry::{TracedAttempt, traced_attempts},
};

#[async_trait]
impl OutcomeRecording for RedisGate {
    /// Writes the results before the sale. The pending entry makes the relay repeat a recording that was interrupted, so it
    /// must be removed last.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError> {
        let mut results = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            let attempt = &settlement.attempt;
            // A record with an unknown sale, product or account may still name a real shopper, who did not make the attempt. Its
            // result is written only if that shopper waits for one.
            let ids_exist = !matches!(settlement.outcome, Outcome::NoAccount | Outcome::Rejected);
            if ids_exist || results::is_awaited(&self.connection, sale, attempt.user).await? {
                results.extend(result_of(settlement));
            }
        }
        let tag = self.ledger.tag();
        results::write(&self.connection, tag, self.result_ttl, &results).await?;
        let ended = record(&self.connection, sale, settlements).await?;
        let mut outdated = results;
        outdated.retain(|entry| ended.contains(&entry.user));
        results::forget(&self.connection, tag, &outdated).await
    }

    /// Deletes the results before it changes the sale: the shopper can buy again only after the second step, so a result of
    /// a new purchase is not deleted.
    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError> {
        let results: Vec<_> = ended
            .iter()
            .map(|holder| ResultEntry {
                sale,
                product,
                user: holder.user,
                result: PurchaseResult::Success,
            })
            .collect();
        results::forget(&self.connection, self.ledger.tag(), &results).await?;
        end(&self.connection, sale, ended).await
    }
}

/// Records settlements. Returns the users whose order, as given in `settlements`, has ended meanwhile.
pub(super) async fn record(
    connection: &Connection,
    sale: SaleId,
    settlements: &[Settlement],
) -> Result<Vec<UserId>, GateError> {
    let mut ended = Vec::new();
    for part in settlements.chunks(CALL_SIZE) {
        let mut args = connection.args();
        args.reserve(part.len() * 2 + 2);
        args.push(connection.publish_command());
        args.push(channel(sale).into());
        // In the order of the attempts.
        let traced = traced_attempts(part.iter().map(|settlement| settlement.attempt.id.0));
        let mut traced = traced.into_iter().peekable();
        for settlement in part {
            let id = settlement.attempt.id.0;
            let traced = traced.next_if(|traced| traced.id == id);
            args.push(user_arg(settlement.attempt.user));
            args.push(decision(settlement, traced.as_ref()));
        }
        let answer = connection
            .run_on(&SCRIPTS.record_outcomes, sale, args)
            .await?;
        for user in &reply::list(answer)? {
            ended.push(parse_user(user)?);
        }
    }
    Ok(ended)
}

/// Takes ended orders out of the sale.
pub(super) async fn end(
    connection: &Connection,
    sale: SaleId,
    ended: &[Holder],
) -> Result<EndOrdersOutcome, GateError> {
    for part in ended.chunks(CALL_SIZE) {
        let mut args = connection.args();
        args.extend([connection.publish_command(), channel(sale).into()]);
        let args = shopper_args(args, part);
        if !reply::yes(&connection.run_on(&SCRIPTS.end_orders, sale, args).await?)? {
            return Ok(EndOrdersOutcome::NotOpen);
        }
    }
    Ok(EndOrdersOutcome::TakenOut)
}

/// The result to be written for a settlement. An order that has ended has none, since the shopper may buy again.
pub(super) fn result_of(settlement: &Settlement) -> Option<ResultEntry> {
    let result = match settlement.outcome {
        Outcome::Ordered | Outcome::AlreadyOrdered { .. } => PurchaseResult::Success,
        Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected => PurchaseResult::Failed,
        Outcome::Released => return None,
    };
    let attempt = &settlement.attempt;
    Some(ResultEntry {
        sale: attempt.sale,
        product: attempt.product,
        user: attempt.user,
        result,
    })
}

/// A decision in the form that the script takes: a letter, the attempt's id and, if another attempt ordered, the id of that one. The
/// order of a traced attempt is followed by what its announcement says of the trace.
fn decision(settlement: &Settlement, traced: Option<&TracedAttempt>) -> Value {
    let (letter, by) = match settlement.outcome {
        Outcome::Ordered => (b'O', None),
        Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected => (b'F', None),
        Outcome::Released => (b'R', None),
        Outcome::AlreadyOrdered { by } => (b'A', Some(by)),
    };
    let mut text = Vec::with_capacity(33);
    text.push(letter);
    text.extend_from_slice(settlement.attempt.id.0.as_bytes());
    if let Some(by) = by {
        text.extend_from_slice(by.0.as_bytes());
    }
    if let (Outcome::Ordered, Some(traced)) = (settlement.outcome, traced) {
        text.extend_from_slice(&announcements::trace_of(traced));
    }
    bytes(text)
}
