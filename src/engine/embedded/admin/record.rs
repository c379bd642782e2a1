//! Records a change: its entry in the action log, with the idempotency key of the request.

use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};

use super::{idempotency, log};
use crate::port::{ActionEntry, ActionId, AdminError, Change};

/// Appends the entry of a change, and notes it with the key of the request.
pub(super) fn record(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    change: &Change,
    entry: &ActionEntry,
) -> QueryResult<ActionId> {
    let action = log::append(conn, now, change, entry)?;
    idempotency::note(conn, entry, action)?;
    Ok(action)
}

/// Appends the entry of a change that is not in this piece of work.
pub(super) fn note(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    change: &Change,
    entry: &ActionEntry,
) -> Result<ActionId, AdminError> {
    idempotency::begin(conn, now, entry)?;
    Ok(record(conn, now, change, entry)?)
}
