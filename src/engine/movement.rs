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

/// A PENDING withdrawal as it is closed when the gate took `taken` units and the ledger has `remaining`.
pub(super) fn closed(pending: &Movement, taken: u32, remaining: u64) -> Movement {
    let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
    let applied = taken.min(pending.requested).min(remaining);
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
