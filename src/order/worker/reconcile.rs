//! Records orders that the gate does not know. The relay cannot find these: their shoppers are not pending, because
//! the gate was emptied, or never saw them, and whoever settled them died before it could record them. A difference
//! that they do not explain has the sale loaded anew.

use std::collections::BTreeSet;

use metrics::counter;

use super::{barrier::Barrier, partition::record};
use crate::{
    port::{Attempt, Outcome, PortError, Ports, SaleListing, Settlement},
    telemetry::metric,
};

/// Orders that are recorded with one call.
const CHUNK: usize = 1_000;

/// So many looks in a row must find a difference that nothing explains, before the sale is loaded anew.
const LOOKS: u32 = 6;

/// What is under way about one sale.
#[derive(Default)]
pub(super) struct Reconcile {
    /// What gate and ledger had left when they were last seen to differ.
    differed: Option<(i64, u64)>,
    unexplained: Option<Unexplained>,
}

/// A difference that no order explains.
struct Unexplained {
    seen: (i64, u64),
    looks: u32,
    /// What was in the log then may explain it.
    barrier: Barrier,
}

impl Reconcile {
    /// Takes the next step for a sale without pending attempts. What differs twice in a row is not on its way. True if
    /// nothing explains the difference, and the sale must be loaded anew.
    pub(super) async fn step(
        &mut self,
        engines: &Ports,
        group: &str,
        listing: &SaleListing,
        available: i64,
        withdrawn: u64,
    ) -> Result<bool, PortError> {
        // The ledger counts units that are set aside, until it closes their movement.
        let remaining = listing.remaining_stock;
        let available = available.saturating_add(i64::try_from(withdrawn).unwrap_or(i64::MAX));
        if i64::try_from(remaining).is_ok_and(|remaining| remaining == available) {
            *self = Self::default();
            return Ok(false);
        }
        let seen = (available, remaining);
        if let Some(unexplained) = &mut self.unexplained
            && unexplained.seen == seen
        {
            unexplained.looks += 1;
            let lasts =
                unexplained.looks >= LOOKS && unexplained.barrier.is_passed(engines, group).await?;
            if lasts {
                tracing::warn!(sale = %listing.id, available, remaining, "gate and ledger differ, and nothing explains it");
                *self = Self::default();
            }
            return Ok(lasts);
        }
        self.unexplained = None;
        if self.differed != Some(seen) {
            self.differed = Some(seen);
            return Ok(false);
        }
        self.differed = None;
        let recorded = record_missing_orders(engines, listing).await?;
        if recorded > 0 {
            counter!(metric::ORDERS_RECONCILED).increment(recorded as u64);
            tracing::warn!(sale = %listing.id, orders = recorded, "orders that the gate was not told of are recorded");
        }
        // Also of orders that were recorded: the gate takes none that it was told has ended. If it differs as before at the next
        // look, they are such orders, which stand again.
        self.unexplained = Some(Unexplained {
            seen,
            looks: if recorded > 0 { LOOKS } else { 0 },
            barrier: Barrier::now(engines).await?,
        });
        Ok(false)
    }
}

/// Records every order whose shopper the gate does not know; how many. Recording again changes nothing, so that an order
/// made meanwhile does no harm.
async fn record_missing_orders(engines: &Ports, listing: &SaleListing) -> Result<usize, PortError> {
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
    let missing: Vec<_> = snapshot
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
    for settlements in missing.chunks(CHUNK) {
        record(engines.gate.as_ref(), settlements).await?;
    }
    Ok(missing.len())
}
