//! Idempotency keys. Each is stored in the transaction of its change, so that a repeated request makes the change only once.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::super::Prepared;
use crate::{
    engine::key_standing::{PRUNED_AT_ONCE, StoredKey},
    port::{
        ActionEntry, ActionId, AdminError, IdempotencyKey, KeyStanding, MovementId, StoredAnswer,
    },
};

/// Inserts a key, or uses a key that is older than 24 h anew. A transaction that uses a key holds an advisory lock until its end,
/// by which another transaction sees this. Without the lock, the other one would wait for the key's row, and hold a connection of
/// the pool meanwhile.
const USE: &str = "
    INSERT INTO idempotency_keys AS used (actor, key, fingerprint)
    SELECT actor, key, fingerprint FROM (VALUES (?, ?, ?)) AS wanted (actor, key, fingerprint)
    WHERE pg_try_advisory_xact_lock(hashtextextended('flashsale idempotency key ' || actor || ' ' || key, 0))
    ON CONFLICT (actor, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, action_id = NULL, status = NULL, body = NULL, created_at = now()
    WHERE used.created_at < now() - interval '24 hours'";

const NOTE: &str = "UPDATE idempotency_keys SET action_id = ? WHERE actor = ? AND key = ?";

const FIND: &str = "
    SELECT k.fingerprint, k.created_at, k.action_id, k.status, k.body, m.id AS movement_id
    FROM idempotency_keys k LEFT JOIN stock_movements m ON m.action_id = k.action_id
    WHERE k.actor = ? AND k.key = ? AND k.created_at >= now() - interval '24 hours'";

/// Stores the answer to a request, unless an answer is stored already.
const ANSWER: &str = "
    UPDATE idempotency_keys SET status = ?, body = ? WHERE actor = ? AND key = ? AND fingerprint = ? AND status IS NULL";

const PRUNE: &str = "
    DELETE FROM idempotency_keys WHERE (actor, key) IN (
        SELECT actor, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
        ORDER BY created_at LIMIT ? FOR UPDATE SKIP LOCKED)";

#[derive(QueryableByName)]
struct TimeRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    action_id: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    movement_id: Option<Uuid>,
}

/// Uses the key of a change, if the change has one. This is the first step of the change's transaction.
pub(super) async fn begin(
    conn: &mut AsyncPgConnection,
    entry: &ActionEntry,
) -> Result<(), AdminError> {
    let Some(key) = &entry.key else {
        return Ok(());
    };
    let actor = &entry.actor.name;
    let used = Prepared::new(USE)
        .bind::<Text, _>(actor.clone())
        .bind::<Text, _>(key.key.clone())
        .bind::<Binary, _>(key.fingerprint.0.to_vec())
        .execute(conn)
        .await?;
    if used == 1 {
        return Ok(prune(conn).await?);
    }
    // A statement of its own sees what was committed meanwhile. If it finds nothing, the transaction that uses the key is under
    // way, or was rolled back a moment ago.
    let standing = standing(conn, actor, key).await?;
    let now: TimeRow = Prepared::new("SELECT now() AS at").get_result(conn).await?;
    Err(AdminError::KeyUsed(standing.unwrap_or(
        KeyStanding::Running {
            since: now.at,
            action: None,
            movement: None,
        },
    )))
}

/// Stores the entry of the change with its key.
pub(super) async fn note(
    conn: &mut AsyncPgConnection,
    entry: &ActionEntry,
    action: ActionId,
) -> QueryResult<()> {
    let Some(key) = &entry.key else {
        return Ok(());
    };
    Prepared::new(NOTE)
        .bind::<BigInt, _>(action.0)
        .bind::<Text, _>(entry.actor.name.clone())
        .bind::<Text, _>(key.key.clone())
        .execute(conn)
        .await
        .map(drop)
}

pub(super) async fn standing(
    conn: &mut AsyncPgConnection,
    actor: &str,
    key: &IdempotencyKey,
) -> QueryResult<Option<KeyStanding>> {
    let row: Option<KeyRow> = Prepared::new(FIND)
        .bind::<Text, _>(actor.to_owned())
        .bind::<Text, _>(key.key.clone())
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.map(|row| {
        let stored = StoredKey {
            fingerprint: row.fingerprint,
            since: row.created_at,
            action: row.action_id.map(ActionId),
            movement: row.movement_id.map(MovementId),
            answer: row.status.zip(row.body),
        };
        stored.standing(key)
    }))
}

pub(super) async fn store_answer(
    conn: &mut AsyncPgConnection,
    actor: &str,
    key: &IdempotencyKey,
    answer: &StoredAnswer,
) -> QueryResult<()> {
    Prepared::new(ANSWER)
        .bind::<Integer, _>(i32::from(answer.status))
        .bind::<Text, _>(answer.body.clone())
        .bind::<Text, _>(actor.to_owned())
        .bind::<Text, _>(key.key.clone())
        .bind::<Binary, _>(key.fingerprint.0.to_vec())
        .execute(conn)
        .await
        .map(drop)
}

/// Deletes a few expired keys. It is called at each use of a key, so that expired ones do not pile up.
async fn prune(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    Prepared::new(PRUNE)
        .bind::<BigInt, _>(PRUNED_AT_ONCE)
        .execute(conn)
        .await
        .map(drop)
}
