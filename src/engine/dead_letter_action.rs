//! The spelling of decisions about dead letters in the ledgers' tables.

use crate::{ids::AttemptId, port::DeadLetterAction};

/// The text for the column `dead_letter_decisions.decision`, and the attempt for the column beside it.
pub(super) fn to_sql(action: DeadLetterAction) -> (&'static str, Option<AttemptId>) {
    match action {
        DeadLetterAction::Replayed { attempt } => ("REPLAYED", Some(attempt)),
        DeadLetterAction::Discarded => ("DISCARDED", None),
    }
}

/// The action of a stored decision. The table's constraints require an attempt for `REPLAYED`, and forbid one otherwise.
pub(super) fn from_sql(attempt: Option<AttemptId>) -> DeadLetterAction {
    attempt.map_or(DeadLetterAction::Discarded, |attempt| {
        DeadLetterAction::Replayed { attempt }
    })
}
