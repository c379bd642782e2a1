//! Outcomes as the ledgers' tables spell them.

use crate::{ids::AttemptId, port::Outcome};

/// The text in `purchase_attempts.outcome`.
pub(super) fn to_sql(outcome: Outcome) -> &'static str {
    match outcome {
        // Of an order that ended later, the recorded outcome stays.
        Outcome::Ordered | Outcome::Released => "ORDERED",
        Outcome::SoldOut => "SOLD_OUT",
        Outcome::AlreadyOrdered { .. } => "ALREADY_ORDERED",
        Outcome::NoAccount => "NO_ACCOUNT",
        Outcome::Rejected => "REJECTED",
    }
}

/// The outcome of a stored text, `ended` if no order of it stands any more. The check on the column allows no other text.
pub(super) fn from_sql(stored: &str, ended: bool, ordered_by: Option<AttemptId>) -> Outcome {
    match (stored, ordered_by) {
        ("ORDERED", _) if ended => Outcome::Released,
        ("ORDERED", _) => Outcome::Ordered,
        ("ALREADY_ORDERED", Some(by)) => Outcome::AlreadyOrdered { by },
        // Somebody deleted the order it lost to. The attempt still got nothing.
        ("ALREADY_ORDERED", None) | ("SOLD_OUT", _) => Outcome::SoldOut,
        ("NO_ACCOUNT", _) => Outcome::NoAccount,
        _ => Outcome::Rejected,
    }
}
