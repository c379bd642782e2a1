//! Outcomes as the ledgers' tables spell them.

use crate::{ids::AttemptId, port::Outcome};

/// The word in `purchase_attempts.outcome`.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        // Of an order that ended later, the recorded outcome stays.
        Outcome::Ordered | Outcome::Released => "ORDERED",
        Outcome::SoldOut => "SOLD_OUT",
        Outcome::AlreadyOrdered { .. } => "ALREADY_ORDERED",
        Outcome::NoAccount => "NO_ACCOUNT",
        Outcome::Rejected => "REJECTED",
    }
}

/// The outcome behind a word, `ended` if no order of it stands any more. The check on the column allows no other words.
pub(super) fn from_word(word: &str, ended: bool, ordered_by: Option<AttemptId>) -> Outcome {
    match (word, ordered_by) {
        ("ORDERED", _) if ended => Outcome::Released,
        ("ORDERED", _) => Outcome::Ordered,
        ("ALREADY_ORDERED", Some(by)) => Outcome::AlreadyOrdered { by },
        // Somebody deleted the order it lost to. The attempt still got nothing.
        ("ALREADY_ORDERED", None) | ("SOLD_OUT", _) => Outcome::SoldOut,
        ("NO_ACCOUNT", _) => Outcome::NoAccount,
        _ => Outcome::Rejected,
    }
}
