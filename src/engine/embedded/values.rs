//! Converts values to and from their form in the file: times are milliseconds since 1970, attempt ids are 16 bytes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{ids::AttemptId, port::SessionRule};

pub(super) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// The time from milliseconds since 1970; the latest possible time if they are out of range.
pub(super) fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The rule that the two columns of an account say.
pub(super) fn session_rule(disabled_at: Option<i64>, valid_from: Option<i64>) -> SessionRule {
    SessionRule::new(disabled_at.map(time), valid_from.map(time))
}

pub(super) fn bytes(attempt: &AttemptId) -> &[u8] {
    attempt.0.as_bytes()
}

/// The id from its bytes. `None` does not occur for stored values: CHECK constraints allow only ids.
pub(super) fn attempt_id(bytes: &[u8]) -> Option<AttemptId> {
    Uuid::from_slice(bytes).ok().map(AttemptId)
}
