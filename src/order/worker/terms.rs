//! Tells the gate what has changed in the ledger: a sale's terms, and orders that ended.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use metrics::counter;

use super::WorkerSettings;
use crate::{
    ids::SaleId,
    port::{
        EndOrdersOutcome, EndedOrder, GateStatus, MovementId, PortError, Ports, SaleListing,
        SaleTerms, TermsOutcome,
    },
    telemetry::metric,
};

/// Number of checks in a row that must find terms in the gate that the ledger does not have. A single check may find them because
/// its listing is older.
const LOOKS: u32 = 6;

/// The state of applying the terms of one sale.
#[derive(Default)]
pub(super) struct Terms {
    /// How often in a row the gate had terms that the ledger does not have.
    unknown: u32,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TermsStep {
    /// The gate has the ledger's terms.
    Agreed,
    /// The gate has terms that the listing does not have. Either the listing is older, or the ledger was set back to an earlier
    /// state, which more checks show. Nothing that relies on the terms may be done.
    Differs,
    /// The gate was told new terms just now.
    Applied,
    /// The gate has terms that the ledger does not have: the ledger was set back to an earlier state. The sale must be loaded
    /// anew.
    Unknown,
}

impl Terms {
    /// Takes the next step for an open sale.
    pub(super) async fn step(
        &mut self,
        engines: &Ports,
        settings: &WorkerSettings,
        listing: &SaleListing,
        status: &GateStatus,
    ) -> Result<TermsStep, PortError> {
        let &GateStatus::Open {
            window,
            switch,
            version,
            total,
            ..
        } = status
        else {
            return Ok(TermsStep::Agreed);
        };
        let terms = listing.terms();
        if version < terms.version {
            self.unknown = 0;
            let expires = terms.window.end + settings.keep;
            let applied = engines
                .gate
                .set_terms(listing.id, terms, &[], expires)
                .await?;
            if applied == TermsOutcome::InForce {
                let SaleTerms {
                    version,
                    window,
                    switch,
                    total: units,
                } = terms;
                tracing::info!(sale = %listing.id, version, ?switch, units, before = total, start = %window.start, end = %window.end, "the gate has the sale's new terms");
            }
            return Ok(TermsStep::Applied);
        }
        let same = version == terms.version
            && window == terms.window
            && switch == terms.switch
            && i64::try_from(terms.total).is_ok_and(|units| units == total);
        if same {
            self.unknown = 0;
            return Ok(TermsStep::Agreed);
        }
        self.unknown += 1;
        if self.unknown < LOOKS {
            return Ok(TermsStep::Differs);
        }
        self.unknown = 0;
        Ok(TermsStep::Unknown)
    }
}

/// Gives the gate the terms that the ledger has now, and clears what was set aside for closed movements. `NotOpen` also if the
/// sale is not listed any more.
pub(super) async fn bring_terms(
    engines: &Ports,
    settings: &WorkerSettings,
    sale: SaleId,
    closed: &[MovementId],
) -> Result<TermsOutcome, PortError> {
    let since = engines.clock.now() - settings.keep;
    let listings = engines.ledger.sales(since).await?;
    let Some(listing) = listings.into_iter().find(|listing| listing.id == sale) else {
        return Ok(TermsOutcome::NotOpen);
    };
    let terms = listing.terms();
    let expires = terms.window.end + settings.keep;
    Ok(engines.gate.set_terms(sale, terms, closed, expires).await?)
}

/// Takes ended orders of one sale out of the gate. Orders that the gate has not confirmed are listed again.
pub(super) async fn end_orders(
    engines: &Ports,
    listing: &SaleListing,
    ended: &[EndedOrder],
) -> Result<(), PortError> {
    let holders: Vec<_> = ended.iter().map(|order| order.holder).collect();
    let gate = &engines.gate;
    let outcome = gate
        .end_orders(listing.id, listing.product, &holders)
        .await?;
    if outcome == EndOrdersOutcome::TakenOut {
        engines.ledger.note_ended(ended).await?;
        counter!(metric::ORDERS_ENDED).increment(ended.len() as u64);
        tracing::info!(sale = %listing.id, orders = ended.len(), "orders that ended are taken out of the gate");
    }
    Ok(())
}

/// Notes ended orders of sales that ended before `since`, at most `limit`. These sales are no longer listed, and the gate has forgotten
/// them, so that it needs to be told nothing. If it still has one, its orders are listed again.
pub(super) async fn note_unlisted(
    engines: &Ports,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<(), PortError> {
    let mut ended = engines.ledger.unlisted_ended_orders(since, limit).await?;
    let sales: BTreeSet<SaleId> = ended.iter().map(|order| order.sale).collect();
    for sale in sales {
        if let GateStatus::Open { .. } = engines.gate.status(sale).await? {
            ended.retain(|order| order.sale != sale);
        }
    }
    if !ended.is_empty() {
        engines.ledger.note_ended(&ended).await?;
    }
    Ok(())
}
