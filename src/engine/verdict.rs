//! Decisions about dead letters as the ledgers' tables spell them.

use crate::{ids::AttemptId, port::Verdict};

/// The word in `dead_letter_decisions.decision`, and the attempt beside it.
pub(super) fn word(verdict: Verdict) -> (&'static str, Option<AttemptId>) {
    match verdict {
        Verdict::Replayed { attempt } => ("REPLAYED", Some(attempt)),
        Verdict::Discarded => ("DISCARDED", None),
    }
}

/// The verdict behind it. The checks of the table allow an attempt beside `REPLAYED` only, and always there.
pub(super) fn from_row(attempt: Option<AttemptId>) -> Verdict {
    attempt.map_or(Verdict::Discarded, |attempt| Verdict::Replayed { attempt })
}
