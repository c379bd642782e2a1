//! The spelling of outcomes in the ledgers' tables.

use crate::{ids::AttemptId, port::Outcome};

/// The text in `purchase_attempts.outcome`.
pub(super) fn to_sql(outcome: Outcome) -> &'static str {
    match outcome {
        // The recorded outcome stays the same when the order ends later.
        Outcome::Ordered | Outcome::Released => "ORDERED",
        Outcome::SoldOut => "SOLD_OUT",
        Outcome::AlreadyOrdered { .. } => "ALREADY_ORDERED",
        Outcome::NoAccount => "NO_ACCOUNT",
        Outcome::Rejected => "REJECTED",
    }
}

/// The outcome of a stored text. `ended` is true if the attempt's order has ended. The column's constraint allows no other text.
pub(super) fn from_sql(stored: &str, ended: bool, ordered_by: Option<AttemptId>) -> Outcome {
    match (stored, ordered_by) {
        ("ORDERED", _) if ended => Outcome::Released,
        ("ORDERED", _) => Outcome::Ordered,
        ("ALREADY_ORDERED", Some(by)) => Outcome::AlreadyOrdered { by },
        // The order of the other attempt was deleted. This attempt still got no unit.
        ("ALREADY_ORDERED", None) | ("SOLD_OUT", _) => Outcome::SoldOut,
        ("NO_ACCOUNT", _) => Outcome::NoAccount,
        _ => Outcome::Rejected,
    }
}
