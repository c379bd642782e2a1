//! Records a change: its entry in the action log, with the idempotency key of the request.

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use super::{
    idempotency,
    log::{self, LockedHead},
};
use crate::port::{ActionEntry, ActionId, AdminError, Change};

/// Appends the entry of a change, and notes it with the key of the request.
pub(super) async fn record(
    conn: &mut AsyncPgConnection,
    head: LockedHead,
    change: &Change,
    entry: &ActionEntry,
) -> QueryResult<ActionId> {
    let action = log::append(conn, head, change, entry).await?;
    idempotency::note(conn, entry, action).await?;
    Ok(action)
}

/// Appends the entry of a change that is not in this transaction. Within a transaction.
pub(super) async fn note(
    conn: &mut AsyncPgConnection,
    change: &Change,
    entry: &ActionEntry,
) -> Result<ActionId, AdminError> {
    idempotency::begin(conn, entry).await?;
    let head = log::lock(conn).await?;
    Ok(record(conn, head, change, entry).await?)
}
