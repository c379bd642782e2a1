//! Completes withdrawals. Units that an operator takes out of a sale leave the gate first, then the ledger. If a process dies or
//! loses a connection between these steps, the control loop takes the missing ones here. Every step can be repeated.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use metrics::counter;

use super::{WorkerSettings, terms::bring_terms};
use crate::{
    ids::SaleId,
    port::{
        GateStatus, Movement, MovementId, MovementState, PortError, Ports, SaleListing,
        TermsOutcome, WithdrawOutcome,
    },
    telemetry::metric,
};

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// There is nothing to do, or nothing that can be done in this round.
    Nothing,
    /// The gate has applied the ledger's terms and no longer sets units aside for closed movements.
    Cleared,
}

/// Takes the units of PENDING movements of an open sale from the gate and closes them in the ledger; then has the gate clear
/// every movement that is closed. If one movement cannot be completed, the others are, and the caller goes on with the sale: the last
/// error is returned beside the result.
pub(super) async fn complete(
    engines: &Ports,
    settings: &WorkerSettings,
    listing: &SaleListing,
    pending: &[Movement],
    status: &GateStatus,
) -> (Withdrawn, Option<PortError>) {
    let GateStatus::Open {
        withdrawn, version, ..
    } = status
    else {
        return (Withdrawn::Nothing, None);
    };
    // The gate has older terms, perhaps without units that were added before the withdrawal was requested. This round brings the
    // terms, and the next one withdraws.
    let pending = if *version < listing.version {
        &[]
    } else {
        pending
    };
    let mut set_aside: BTreeSet<MovementId> = withdrawn.iter().map(|(id, _)| *id).collect();
    let mut trouble = None;
    match still_pending(engines, pending).await {
        Ok(pending) => {
            for movement in pending {
                match complete_one(engines, listing, &movement).await {
                    Ok(true) => {
                        set_aside.insert(movement.id);
                    }
                    Ok(false) => {}
                    Err(error) => trouble = Some(error),
                }
            }
        }
        Err(error) => trouble = Some(error),
    }
    match clear(engines, settings, listing.id, set_aside).await {
        Ok(withdrawn) => (withdrawn, trouble),
        Err(error) => (Withdrawn::Nothing, Some(error)),
    }
}

/// The movements that are still PENDING. They are read again after the listing, since an API node may have completed one in
/// between. Closing one later raises the version of its sale above that of the listing, so that the gate answers `Outdated`.
async fn still_pending(engines: &Ports, pending: &[Movement]) -> Result<Vec<Movement>, PortError> {
    if pending.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = pending.iter().map(|movement| movement.id).collect();
    let mut movements = engines.ledger.movements(&ids).await?;
    movements.retain(|movement| movement.state == MovementState::Pending);
    movements.sort_unstable_by_key(|movement| (movement.requested_at, movement.id));
    Ok(movements)
}

/// True if units are set aside for it now; false if the gate refused.
async fn complete_one(
    engines: &Ports,
    listing: &SaleListing,
    movement: &Movement,
) -> Result<bool, PortError> {
    let Movement {
        id,
        requested,
        mode,
        ..
    } = *movement;
    let (sale, version) = (listing.id, listing.version);
    let taken = engines.gate.withdraw(sale, id, requested, mode, version);
    let WithdrawOutcome::Withdrawn(units) = taken.await? else {
        return Ok(false);
    };
    let Some(closed) = engines.ledger.close_withdrawal(id, units).await? else {
        return Ok(true);
    };
    let result = match closed.state {
        MovementState::Refused => "refused",
        MovementState::Pending | MovementState::Applied => "applied",
    };
    counter!(metric::WITHDRAWALS_COMPLETED, "result" => result).increment(1);
    tracing::info!(%sale, movement = %id.0, requested, units = closed.applied, result, "a withdrawal that an API node left is completed");
    Ok(true)
}

/// Tells the gate to clear the movements that are closed.
async fn clear(
    engines: &Ports,
    settings: &WorkerSettings,
    sale: SaleId,
    set_aside: BTreeSet<MovementId>,
) -> Result<Withdrawn, PortError> {
    if set_aside.is_empty() {
        return Ok(Withdrawn::Nothing);
    }
    let ids: Vec<_> = set_aside.into_iter().collect();
    let stored = engines.ledger.movements(&ids).await?;
    let is_pending = |id: &MovementId| {
        let mut stored = stored.iter();
        stored.any(|movement| movement.id == *id && movement.state == MovementState::Pending)
    };
    // A movement that the ledger does not know was lost when the ledger was restored to an earlier state. The restored stock has its
    // units, so it counts as closed.
    let closed: Vec<_> = ids.into_iter().filter(|id| !is_pending(id)).collect();
    if closed.is_empty() {
        return Ok(Withdrawn::Nothing);
    }
    // The terms are read after the movements were closed. With terms read before, the gate would sell the units, since their total
    // still has them.
    Ok(match bring_terms(engines, settings, sale, &closed).await? {
        TermsOutcome::InForce => Withdrawn::Cleared,
        // The gate has other terms: newer ones, which the next round reads, or those from before the ledger was restored, which the
        // terms step replaces.
        TermsOutcome::OthersInForce { .. } | TermsOutcome::NotOpen => Withdrawn::Nothing,
    })
}

/// Closes PENDING movements of a sale that has left the gate for good, as REFUSED: no unit was taken.
pub(super) async fn refuse(engines: &Ports, pending: &[Movement]) -> Result<(), PortError> {
    let mut result = Ok(());
    for movement in pending {
        match engines.ledger.close_withdrawal(movement.id, 0).await {
            Ok(_) => {
                tracing::info!(sale = %movement.sale, movement = %movement.id.0, "a withdrawal of a sale that is over is refused");
            }
            Err(error) => result = Err(error.into()),
        }
    }
    result
}

/// Does the same for all sales that ended before `since`: they are no longer listed.
pub(super) async fn refuse_unlisted(
    engines: &Ports,
    since: DateTime<Utc>,
) -> Result<(), PortError> {
    let pending = engines.ledger.unlisted_movements(since).await?;
    refuse(engines, &pending).await
}
