//! Decisions about dead letters as the ledgers' tables spell them.

use crate::{ids::AttemptId, port::DeadLetterAction};

/// The text in `dead_letter_decisions.decision`, and the attempt beside it.
pub(super) fn to_sql(action: DeadLetterAction) -> (&'static str, Option<AttemptId>) {
    match action {
        DeadLetterAction::Replayed { attempt } => ("REPLAYED", Some(attempt)),
        DeadLetterAction::Discarded => ("DISCARDED", None),
    }
}

/// The action behind it. The checks of the table allow an attempt beside `REPLAYED` only, and always there.
pub(super) fn from_sql(attempt: Option<AttemptId>) -> DeadLetterAction {
    attempt.map_or(DeadLetterAction::Discarded, |attempt| {
        DeadLetterAction::Replayed { attempt }
    })
}
