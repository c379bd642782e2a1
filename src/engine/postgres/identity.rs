//! Reads the ledger id of a database from the only row of `ledger_identity`.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::ledger_identity;
use crate::ids::LedgerId;

/// Reads the id that the migration gave to the database.
pub(super) async fn read(conn: &mut AsyncPgConnection) -> QueryResult<LedgerId> {
    ledger_identity::table
        .select(ledger_identity::ledger_id)
        .first(conn)
        .await
        .map(LedgerId)
}
