//! The relay: completes attempts that stay pending in the gate, because an API node died before it appended them, the outcome of
//! an append was unknown, or a worker died before it recorded their settlement.

use std::time::Duration;

use metrics::counter;

use super::{WorkerSettings, barrier::Barrier, record::record, terms::bring_terms};
use crate::{
    port::{
        Attempt, ClaimOutcome, Holder, Outcome, PendingEntry, PortError, Ports, SaleListing,
        Settlement, TermsOutcome, zip_answers,
    },
    telemetry::metric,
};

/// Maximum number of attempts that the relay examines at a time.
const LIMIT: usize = 1_000;

/// The relay's state for one sale.
#[derive(Default)]
pub(super) struct Relay {
    watched: Option<WatchedAttempts>,
}

/// Attempts that were overdue when the barrier was set. An attempt that is not settled once the barrier is passed is not in the
/// log before the barrier. Only such attempts are appended again, so that a backlog does not grow by duplicates.
struct WatchedAttempts {
    entries: Vec<PendingEntry>,
    barrier: Barrier,
}

impl Relay {
    /// Takes the next step. Returns true while it waits for the log to be settled up to the barrier.
    pub(super) async fn step(
        &mut self,
        engines: &Ports,
        settings: &WorkerSettings,
        listing: &SaleListing,
        age: Duration,
    ) -> Result<bool, PortError> {
        let mut watched = if let Some(watched) = self.watched.take() {
            watched
        } else {
            let entries = engines.gate.overdue(listing.id, age, LIMIT).await?;
            if entries.is_empty() {
                return Ok(false);
            }
            WatchedAttempts {
                entries,
                barrier: Barrier::now(engines).await?,
            }
        };
        if watched.barrier.is_passed(engines, &settings.group).await? {
            resolve(engines, settings, listing, &watched.entries).await?;
            Ok(false)
        } else {
            self.watched = Some(watched);
            Ok(true)
        }
    }
}

/// Records settled entries in the gate, and appends the others to the log again.
async fn resolve(
    engines: &Ports,
    settings: &WorkerSettings,
    listing: &SaleListing,
    entries: &[PendingEntry],
) -> Result<(), PortError> {
    let ids: Vec<_> = entries.iter().map(|entry| entry.attempt).collect();
    let outcomes = engines.ledger.outcomes(&ids).await?;
    let (settled, lost): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|entry| attempt(listing, entry))
        .partition(|attempt| outcomes.contains_key(&attempt.id));

    let mut settlements: Vec<_> = settled
        .into_iter()
        .filter_map(|attempt| {
            Some(Settlement {
                attempt,
                outcome: *outcomes.get(&attempt.id)?,
            })
        })
        .collect();
    let is_released = |settlement: &Settlement| settlement.outcome == Outcome::Released;
    // The order ended, perhaps together with its unit: the gate must have the ledger's total before the unit comes back, or it
    // would sell it. A sale that is closed is loaded with that total.
    if settlements.iter().any(is_released)
        && let TermsOutcome::OthersInForce { .. } =
            bring_terms(engines, settings, listing.id, &[]).await?
    {
        settlements.retain(|settlement| !is_released(settlement));
    }
    if !settlements.is_empty() {
        record(engines.gate.as_ref(), &settlements).await?;
        counter!(metric::RELAY_RECORDED).increment(settlements.len() as u64);
        tracing::info!(sale = %listing.id, attempts = settlements.len(), "relay: settled attempts are recorded in the gate");
    }
    if lost.is_empty() {
        return Ok(());
    }

    // Claimed before they are appended: an API node that still has the attempt in memory can then no longer release its unit.
    let holders: Vec<_> = lost
        .iter()
        .map(|attempt| Holder {
            user: attempt.user,
            attempt: attempt.id,
        })
        .collect();
    let claims = engines.gate.claim(listing.id, &holders).await?;
    let claimed: Vec<_> = zip_answers(lost, claims)
        .filter(|(_, claim)| *claim == ClaimOutcome::Claimed)
        .map(|(attempt, _)| attempt)
        .collect();
    let answers = engines.log.append(&claimed).await;
    let appended = answers.iter().filter(|answer| answer.is_ok()).count();
    counter!(metric::RELAY_APPENDED).increment(appended as u64);
    tracing::warn!(sale = %listing.id, attempts = claimed.len(), appended, "relay: attempts that were not in the log are appended");
    Ok(())
}

fn attempt(listing: &SaleListing, entry: &PendingEntry) -> Attempt {
    Attempt {
        id: entry.attempt,
        sale: listing.id,
        product: listing.product,
        user: entry.user,
        // `since` may be the time of the last claim, which can be long after the sale's end: settling would reject such a time.
        at: listing.window.nearest(entry.since),
    }
}
