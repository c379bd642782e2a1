//! Dead letters as operators see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::timestamp,
    order::dead_letters::Replay,
    port::{DeadLetterAction, DeadLetterDecision, DeadLetterEntry, LogEntry},
};

/// Characters of a record that are shown.
const SHOWN: usize = 2_000;

/// A record of the log that could not be settled.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterBody {
    /// Partition and offset among the dead letters.
    #[schema(example = "0:17")]
    id: String,
    #[schema(example = "there is no sale 99")]
    cause: String,
    #[schema(format = DateTime, example = "2030-11-29T12:00:01.234Z")]
    buried_at: String,
    /// Where the record is in the attempt log.
    #[schema(example = 3)]
    partition: i32,
    #[schema(example = 4711)]
    offset: i64,
    /// The attempt, if this version of the program understands the record.
    #[schema(format = "uuid", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")]
    attempt_id: Option<String>,
    #[schema(example = 99)]
    sale_id: Option<i64>,
    #[schema(example = "2")]
    user_id: Option<String>,
    /// The beginning of the record's value as text.
    #[schema(example = "{\"v\":1}")]
    value: Option<String>,
    /// Of a record that was too large to be kept: how many bytes its value had.
    #[schema(example = json!(null))]
    omitted_bytes: Option<u64>,
    /// What was decided last.
    decision: Option<DecisionBody>,
}

/// What was decided about a dead letter.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionBody {
    /// `replayed` or `discarded`.
    #[schema(example = "discarded")]
    verdict: &'static str,
    /// Of a replay: the attempt under which the record is in the log again.
    #[schema(format = "uuid", example = json!(null))]
    attempt_id: Option<String>,
    #[schema(example = "The sale was a test")]
    reason: Option<String>,
    #[schema(example = "user:7")]
    by: String,
    #[schema(format = DateTime, example = "2030-11-29T13:00:00.000Z")]
    at: String,
}

/// A dead letter about which something was decided now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecidedBody {
    #[schema(example = "0:17")]
    id: String,
    /// `replayed`: a worker settles it. `settled`: an earlier replay is settled. `discarded`: nothing comes of it.
    #[schema(example = "replayed")]
    outcome: &'static str,
    /// The attempt under which it was replayed.
    #[schema(format = "uuid", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")]
    attempt_id: Option<String>,
}

impl DeadLetterBody {
    #[must_use]
    pub fn of(found: &DeadLetterEntry, decision: Option<DeadLetterDecision>) -> Self {
        let attempt = match &found.entry {
            LogEntry::Attempt(attempt) => Some(attempt),
            LogEntry::OtherLedger(_) | LogEntry::Undecodable(_) => None,
        };
        let shown = |value: &Vec<u8>| {
            let text = String::from_utf8_lossy(value);
            text.chars().take(SHOWN).collect()
        };
        Self {
            id: found.id.to_string(),
            cause: found.letter.cause.clone(),
            buried_at: timestamp(found.letter.buried_at),
            partition: found.letter.partition.0,
            offset: found.letter.offset.0,
            attempt_id: attempt.map(|attempt| attempt.id.to_string()),
            sale_id: attempt.map(|attempt| attempt.sale.value()),
            user_id: attempt.map(|attempt| attempt.user.to_string()),
            value: found.letter.raw.value.as_ref().map(shown),
            omitted_bytes: found.omitted_bytes,
            decision: decision.map(DecisionBody::from),
        }
    }
}

impl From<DeadLetterDecision> for DecisionBody {
    fn from(decision: DeadLetterDecision) -> Self {
        let (verdict, attempt) = match decision.action {
            DeadLetterAction::Replayed { attempt } => ("replayed", Some(attempt)),
            DeadLetterAction::Discarded => ("discarded", None),
        };
        Self {
            verdict,
            attempt_id: attempt.map(|attempt| attempt.to_string()),
            reason: decision.reason,
            by: decision.by,
            at: timestamp(decision.at),
        }
    }
}

impl DecidedBody {
    #[must_use]
    pub fn replayed(found: &DeadLetterEntry, replay: Replay) -> Self {
        let (outcome, attempt) = match replay {
            Replay::Appended(attempt) => ("replayed", attempt),
            Replay::Settled(attempt, _) => ("settled", attempt),
        };
        Self {
            id: found.id.to_string(),
            outcome,
            attempt_id: Some(attempt.to_string()),
        }
    }

    #[must_use]
    pub fn discarded(found: &DeadLetterEntry) -> Self {
        Self {
            id: found.id.to_string(),
            outcome: "discarded",
            attempt_id: None,
        }
    }
}
