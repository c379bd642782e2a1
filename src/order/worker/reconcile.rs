//! Tells the gate of orders that it was never told of. The relay cannot find these: their shoppers are not pending, because
//! the gate was emptied, or never saw them, and whoever settled them died before it could record them.

use std::collections::BTreeSet;

use metrics::counter;

use super::{Engines, caretaker::CareError, partition::record};
use crate::port::{Attempt, Outcome, SaleListing, Settlement};

/// Orders that are recorded with one call.
const CHUNK: usize = 1_000;

/// What is under way about one sale.
#[derive(Default)]
pub(super) struct Reconcile {
    /// What gate and ledger had left when they were last seen to differ.
    differed: Option<(i64, u64)>,
    /// A difference that no order explains: units were added by hand.
    unexplained: Option<i64>,
}

impl Reconcile {
    /// Takes the next step for a sale without pending attempts. What differs twice in a row is not on its way.
    pub(super) async fn step(
        &mut self,
        engines: &Engines,
        listing: &SaleListing,
        available: i64,
    ) -> Result<(), CareError> {
        let remaining = listing.remaining_stock;
        let difference = available - i64::try_from(remaining).unwrap_or(i64::MAX);
        if difference == 0 || self.unexplained == Some(difference) {
            self.differed = None;
            return Ok(());
        }
        let now = Some((available, remaining));
        if self.differed != now {
            self.differed = now;
            return Ok(());
        }
        self.differed = None;
        let told = tell(engines, listing).await?;
        if told == 0 {
            tracing::warn!(sale = %listing.id, available, remaining, "gate and ledger differ, and no order explains it");
            self.unexplained = Some(difference);
        } else {
            counter!("flashsale_orders_reconciled_total").increment(told as u64);
            tracing::warn!(sale = %listing.id, orders = told, "orders that the gate was not told of are recorded");
        }
        Ok(())
    }
}

/// Records every order whose shopper the gate does not know; how many. Recording again changes nothing, so that an order
/// made meanwhile does no harm.
async fn tell(engines: &Engines, listing: &SaleListing) -> Result<usize, CareError> {
    let known: BTreeSet<_> = engines
        .gate
        .holders(listing.id)
        .await?
        .into_iter()
        .collect();
    let Some(snapshot) = engines.ledger.snapshot(listing.id).await? else {
        return Ok(0);
    };
    let at = engines.clock.now();
    let untold: Vec<_> = snapshot
        .holders
        .into_iter()
        .filter(|holder| !known.contains(&holder.user))
        .map(|holder| Settlement {
            attempt: Attempt {
                id: holder.attempt,
                sale: listing.id,
                product: listing.product,
                user: holder.user,
                at,
            },
            outcome: Outcome::Ordered,
        })
        .collect();
    for settlements in untold.chunks(CHUNK) {
        record(engines.gate.as_ref(), settlements).await?;
    }
    Ok(untold.len())
}
