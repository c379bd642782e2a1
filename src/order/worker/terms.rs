//! Brings what changed in the ledger to the gate: a sale's terms, and orders that ended.

use metrics::counter;

use super::WorkerSettings;
use crate::port::{
    EndOrdersOutcome, EndedOrder, GateStatus, PortError, Ports, SaleListing, SaleTerms,
    TermsOutcome,
};

/// So many looks in a row must find terms in the gate that the ledger does not have. One may: the listing is older.
const LOOKS: u32 = 6;

/// What is under way about one sale.
#[derive(Default)]
pub(super) struct Terms {
    /// How often in a row the gate had terms that the ledger does not have.
    unknown: u32,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TermsStep {
    /// The gate has the ledger's terms.
    Agreed,
    /// It was told of new ones just now.
    Applied,
    /// It has terms that the ledger does not have: the ledger was set back to an earlier state. Load the sale anew.
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
        self.unknown = if same { 0 } else { self.unknown + 1 };
        if self.unknown < LOOKS {
            return Ok(TermsStep::Agreed);
        }
        self.unknown = 0;
        Ok(TermsStep::Unknown)
    }
}

/// Takes orders of one sale that ended out of the gate. Those that it has not confirmed are listed again.
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
        counter!("flashsale_orders_ended_total").increment(ended.len() as u64);
        tracing::info!(sale = %listing.id, orders = ended.len(), "orders that ended are taken out of the gate");
    }
    Ok(())
}
