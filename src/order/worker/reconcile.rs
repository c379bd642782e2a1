//! Records orders that the gate does not know. The relay cannot find these orders, since their shoppers are not pending: the gate
//! was emptied, or it never saw them, and the worker that settled them died before it could record them. If such orders do not
//! explain the difference between gate and ledger, the sale is loaded anew.

use std::collections::BTreeSet;

use metrics::counter;

use super::{barrier::Barrier, record::record};
use crate::{
    port::{Attempt, Outcome, PortError, Ports, SaleListing, Settlement},
    telemetry::metric,
};

/// Number of orders that are recorded with one call.
const CHUNK: usize = 1_000;

/// Number of checks in a row that must find the same unexplained difference before the sale is loaded anew.
const LOOKS: u32 = 6;

/// The state of reconciling one sale.
#[derive(Default)]
pub(super) struct Reconcile {
    /// The remaining units of gate and ledger when the two were last found to differ.
    differed: Option<(i64, u64)>,
    unexplained: Option<Unexplained>,
}

/// A difference that no order explains.
struct Unexplained {
    seen: (i64, u64),
    looks: u32,
    /// The end of the log when the difference was found. The records before it may explain the difference.
    barrier: Barrier,
}

impl Reconcile {
    /// Takes the next step for a sale without pending attempts. A difference that is found twice in a row does not come from a
    /// change that is on its way. True if nothing explains the difference and the sale must be loaded anew.
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
        // The difference is noted even if orders were recorded: the gate does not take an order of which it was told that it has
        // ended. If the difference is the same at the next check, there are such orders, and they stand again.
        self.unexplained = Some(Unexplained {
            seen,
            looks: if recorded > 0 { LOOKS } else { 0 },
            barrier: Barrier::now(engines).await?,
        });
        Ok(false)
    }
}

/// Records every order whose shopper the gate does not know, and returns their number. To record an order twice changes nothing,
/// so an order that is made meanwhile does no harm.
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
