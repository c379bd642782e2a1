//! Reads the ledger id of a data file from the only row of `ledger_identity`.

use diesel::{SqliteConnection, prelude::*, result::Error};
use uuid::Uuid;

use super::schema::ledger_identity;
use crate::ids::LedgerId;

/// Reads the id that the migration gave to the data file.
pub(super) fn read(conn: &mut SqliteConnection) -> QueryResult<LedgerId> {
    let bytes: Vec<u8> = ledger_identity::table
        .select(ledger_identity::ledger_id)
        .first(conn)?;
    Uuid::from_slice(&bytes)
        .map(LedgerId)
        .map_err(|error| Error::DeserializationError(Box::new(error)))
}
