//! Completes withdrawals: units that an operator takes out of a sale leave the gate first, then the ledger. What a process left
//! undone that died or lost a connection in between is done here; every step can be repeated.

use std::collections::BTreeSet;

use metrics::counter;

use super::WorkerSettings;
use crate::port::{
    GateStatus, Movement, MovementId, MovementState, PortError, Ports, SaleListing, TermsOutcome,
    WithdrawOutcome,
};

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// Nothing was to be done, or nothing can be done now.
    Nothing,
    /// The gate has given back what was set aside for closed movements, together with the ledger's terms.
    Cleared,
}

/// Takes the units of PENDING movements of an open sale from the gate and closes them in the ledger; then has the gate clear
/// every movement that is closed.
pub(super) async fn complete(
    engines: &Ports,
    settings: &WorkerSettings,
    listing: &SaleListing,
    pending: &[Movement],
    status: &GateStatus,
) -> Result<Withdrawn, PortError> {
    let GateStatus::Open {
        withdrawn, version, ..
    } = status
    else {
        return Ok(Withdrawn::Nothing);
    };
    let (gate, ledger, sale) = (&engines.gate, &engines.ledger, listing.id);
    let mut set_aside: BTreeSet<MovementId> = withdrawn.iter().map(|(id, _)| *id).collect();
    for movement in pending {
        let Movement {
            id,
            requested,
            mode,
            ..
        } = *movement;
        let WithdrawOutcome::Withdrawn(units) = gate.withdraw(sale, id, requested, mode).await?
        else {
            continue;
        };
        ledger.close_withdrawal(id, units).await?;
        set_aside.insert(id);
        counter!("flashsale_withdrawals_completed_total").increment(1);
        tracing::info!(%sale, movement = %id.0, units, "a withdrawal is completed");
    }
    if set_aside.is_empty() {
        return Ok(Withdrawn::Nothing);
    }
    let ids: Vec<_> = set_aside.into_iter().collect();
    let stored = ledger.movements(&ids).await?;
    let is_pending = |id: &MovementId| {
        let mut stored = stored.iter();
        stored.any(|movement| movement.id == *id && movement.state == MovementState::Pending)
    };
    // One that the ledger does not know was lost when the ledger was set back: its units are in the ledger's numbers again.
    let closed: Vec<_> = ids.into_iter().filter(|id| !is_pending(id)).collect();
    if closed.is_empty() {
        return Ok(Withdrawn::Nothing);
    }
    // Read after the movements were closed: an older total still counts their units, and the gate would sell them.
    let since = engines.clock.now() - settings.keep;
    let listings = ledger.sales(since).await?;
    let Some(listing) = listings.into_iter().find(|listing| listing.id == sale) else {
        return Ok(Withdrawn::Nothing);
    };
    let terms = listing.terms();
    // Terms of a ledger that was set back since: nothing is cleared, and the next step of the controller finds out.
    if *version > terms.version {
        return Ok(Withdrawn::Nothing);
    }
    let expires = terms.window.end + settings.keep;
    Ok(match gate.set_terms(sale, terms, &closed, expires).await? {
        TermsOutcome::InForce => Withdrawn::Cleared,
        TermsOutcome::NotOpen => Withdrawn::Nothing,
    })
}

/// Closes PENDING movements of a sale that no gate has any more, and none will have: no unit was taken.
pub(super) async fn refuse(engines: &Ports, pending: &[Movement]) -> Result<(), PortError> {
    for movement in pending {
        engines.ledger.close_withdrawal(movement.id, 0).await?;
    }
    Ok(())
}
