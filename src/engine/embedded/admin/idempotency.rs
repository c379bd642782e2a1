//! Idempotency keys. Each is stored in the piece of work that makes its change, so that a repeated request makes the change only
//! once.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary, Integer, Nullable, Text},
};
use uuid::Uuid;

use super::super::{
    Prepared,
    values::{millis, time},
};
use crate::{
    engine::key_standing::{PRUNED_AT_ONCE, StoredKey},
    port::{
        ActionEntry, ActionId, AdminError, IdempotencyKey, KeyStanding, MovementId, StoredAnswer,
    },
};

/// Time for which a key is valid.
const KEPT: TimeDelta = TimeDelta::hours(24);

const USE: &str = "
    INSERT INTO idempotency_keys (actor, key, fingerprint, created_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (actor, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, action_id = NULL, status = NULL, body = NULL, created_at = excluded.created_at
    WHERE idempotency_keys.created_at < ?";

const NOTE: &str = "UPDATE idempotency_keys SET action_id = ? WHERE actor = ? AND key = ?";

const FIND: &str = "
    SELECT k.fingerprint, k.created_at, k.action_id, k.status, k.body, m.id AS movement_id
    FROM idempotency_keys k LEFT JOIN stock_movements m ON m.action_id = k.action_id
    WHERE k.actor = ? AND k.key = ? AND k.created_at >= ?";

/// Stores the answer to a request, unless an answer is stored already.
const ANSWER: &str = "
    UPDATE idempotency_keys SET status = ?, body = ? WHERE actor = ? AND key = ? AND fingerprint = ? AND status IS NULL";

const PRUNE: &str = "
    DELETE FROM idempotency_keys WHERE (actor, key) IN (
        SELECT actor, key FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT ?)";

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    action_id: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    movement_id: Option<Vec<u8>>,
}

/// Keys from before this time do not count.
fn oldest(now: DateTime<Utc>) -> i64 {
    millis(now - KEPT)
}

/// Uses the key of a change, if the change has one. This is the first step of the change's work.
pub(super) fn begin(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
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
        .bind::<BigInt, _>(millis(now))
        .bind::<BigInt, _>(oldest(now))
        .execute(conn)?;
    if used == 1 {
        return Ok(prune(conn, now)?);
    }
    match standing(conn, now, actor, key)? {
        Some(standing) => Err(AdminError::KeyUsed(standing)),
        // `None` does not occur: the key was not used anew because a valid one is stored, by the same time and limit as here.
        None => Ok(()),
    }
}

/// Stores the entry of the change with its key.
pub(super) fn note(
    conn: &mut SqliteConnection,
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
        .map(drop)
}

pub(super) fn standing(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    actor: &str,
    key: &IdempotencyKey,
) -> QueryResult<Option<KeyStanding>> {
    let row: Option<KeyRow> = Prepared::new(FIND)
        .bind::<Text, _>(actor.to_owned())
        .bind::<Text, _>(key.key.clone())
        .bind::<BigInt, _>(oldest(now))
        .get_result(conn)
        .optional()?;
    Ok(row.map(|row| {
        let movement = row.movement_id.and_then(|id| Uuid::from_slice(&id).ok());
        let stored = StoredKey {
            fingerprint: row.fingerprint,
            since: time(row.created_at),
            action: row.action_id.map(ActionId),
            movement: movement.map(MovementId),
            answer: row.status.zip(row.body),
        };
        stored.standing(key)
    }))
}

pub(super) fn store_answer(
    conn: &mut SqliteConnection,
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
        .map(drop)
}

/// Deletes a few expired keys. It is called at each use of a key, so that expired ones do not pile up.
fn prune(conn: &mut SqliteConnection, now: DateTime<Utc>) -> QueryResult<()> {
    Prepared::new(PRUNE)
        .bind::<BigInt, _>(oldest(now))
        .bind::<BigInt, _>(PRUNED_AT_ONCE)
        .execute(conn)
        .map(drop)
}
