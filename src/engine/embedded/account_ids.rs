//! Ensures that no account id is assigned twice.

use diesel::{QueryResult, RunQueryDsl, SqliteConnection, sql_types::BigInt};

use super::Prepared;

const RAISE: &str = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'users' AND seq < ?";

const BEGIN: &str = "
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'users', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users')";

/// Ensures that the ids of new accounts are higher than `above`.
pub(super) fn continue_above(conn: &mut SqliteConnection, above: i64) -> QueryResult<()> {
    Prepared::new(BEGIN)
        .bind::<BigInt, _>(above)
        .execute(conn)?;
    Prepared::new(RAISE)
        .bind::<BigInt, _>(above)
        .bind::<BigInt, _>(above)
        .execute(conn)?;
    Ok(())
}
