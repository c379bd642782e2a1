//! Withdrawals as the ledgers' tables spell them, and how many units one takes in the end.

use crate::port::{Movement, MovementMode, MovementState};

/// The word in `stock_movements.mode`.
pub(super) fn mode_to_sql(mode: MovementMode) -> &'static str {
    match mode {
        MovementMode::Exact => "EXACT",
        MovementMode::UpTo => "UP_TO",
    }
}

/// The mode behind a word. The check on the column allows no other words.
pub(super) fn mode_from_sql(word: &str) -> MovementMode {
    match word {
        "UP_TO" => MovementMode::UpTo,
        _ => MovementMode::Exact,
    }
}

/// The word in `stock_movements.state`.
pub(super) fn state_to_sql(state: MovementState) -> &'static str {
    match state {
        MovementState::Pending => "PENDING",
        MovementState::Applied => "APPLIED",
        MovementState::Refused => "REFUSED",
    }
}

/// The state behind a word. The check on the column allows no other words.
pub(super) fn state_from_sql(word: &str) -> MovementState {
    match word {
        "PENDING" => MovementState::Pending,
        "APPLIED" => MovementState::Applied,
        _ => MovementState::Refused,
    }
}

/// A PENDING withdrawal as it is closed when the gate took `taken` units and the ledger has `remaining`. An EXACT one takes all of
/// its units or none: a gate that was loaded meanwhile may have had fewer to set aside.
#[must_use]
pub fn closed(pending: &Movement, taken: u32, remaining: u64) -> Movement {
    let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
    let applied = match taken.min(pending.requested).min(remaining) {
        fewer if pending.mode == MovementMode::Exact && fewer < pending.requested => 0,
        applied => applied,
    };
    let state = match applied {
        0 => MovementState::Refused,
        _ => MovementState::Applied,
    };
    Movement {
        applied,
        state,
        ..*pending
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{ids::SaleId, port::MovementId};

    #[test]
    fn up_to_takes_what_there_is_and_exact_all_or_none() {
        use MovementMode::{Exact, UpTo};
        use MovementState::{Applied, Refused};
        for (mode, taken, remaining, expected) in [
            (UpTo, 4, 9, (4, Applied)),
            (UpTo, 3, 9, (3, Applied)),
            (UpTo, 4, 2, (2, Applied)),
            (UpTo, 9, 9, (4, Applied)),
            (UpTo, 0, 9, (0, Refused)),
            (Exact, 4, 4, (4, Applied)),
            // The gate was loaded meanwhile, and had fewer to set aside; or somebody lowered the ledger's units.
            (Exact, 3, 9, (0, Refused)),
            (Exact, 4, 3, (0, Refused)),
            (Exact, 0, 9, (0, Refused)),
        ] {
            let pending = Movement {
                id: MovementId(Uuid::nil()),
                sale: SaleId::new(1).unwrap(),
                mode,
                requested: 4,
                applied: 0,
                state: MovementState::Pending,
                requested_at: DateTime::UNIX_EPOCH,
            };
            let closed = closed(&pending, taken, remaining);
            assert_eq!(
                (closed.applied, closed.state),
                expected,
                "{mode:?}, {taken} taken, {remaining} remain"
            );
        }
    }
}
