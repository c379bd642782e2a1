//! Ensures that no account id is assigned twice, by the sequence of the ids and a lock.

use diesel::{QueryResult, sql_types::BigInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Prepared;

/// Registrations hold this lock in shared mode until they commit. A transaction that moves the sequence takes it exclusively,
/// so that the sequence is not set below an id that a registration takes at the same time.
const SHARE_LOCK: &str =
    "SELECT pg_advisory_xact_lock_shared(hashtextextended('flashsale accounts', 0))";
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('flashsale accounts', 0))";

/// Sequences are not transactional: the new value stays even if the transaction is rolled back.
const RAISE: &str = "
    SELECT setval('users_id_seq', ?) FROM users_id_seq WHERE last_value < ? OR (last_value = ? AND NOT is_called)";

/// Raises the sequence so that ids of new accounts are higher than `above`. Must run within a transaction, which holds the lock.
pub(super) async fn raise(conn: &mut AsyncPgConnection, above: i64) -> QueryResult<()> {
    Prepared::new(LOCK).execute(conn).await?;
    Prepared::new(RAISE)
        .bind::<BigInt, _>(above)
        .bind::<BigInt, _>(above)
        .bind::<BigInt, _>(above)
        .execute(conn)
        .await?;
    Ok(())
}

/// [`raise`] in a transaction of its own.
pub(super) async fn continue_above(conn: &mut AsyncPgConnection, above: i64) -> QueryResult<()> {
    conn.build_transaction()
        .read_committed()
        .run(async |conn| raise(conn, above).await)
        .await
}

/// Takes the shared lock: until the end of the transaction no other one moves the sequence.
pub(super) async fn hold_sequence(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    Prepared::new(SHARE_LOCK).execute(conn).await.map(drop)
}
