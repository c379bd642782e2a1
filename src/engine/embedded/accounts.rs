//! Reads the set of existing accounts for the process that keeps it in memory, and ensures that no account id is assigned twice.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, dsl, prelude::*, sql_types::BigInt};

use super::{
    Prepared,
    schema::{account_changes, users},
    values::time,
};
use crate::{
    ids::UserId,
    port::{AccountChanges, AccountPage, AccountPosition},
};

/// The highest id that the table ever had, which SQLite keeps for AUTOINCREMENT.
const REACHED: &str =
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0) AS id";
const RAISE: &str = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'users' AND seq < ?";
const BEGIN: &str = "
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'users', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users')";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The changes since a position, which is the highest id of a change that was read. That is enough because there is one writer
/// at a time: changes are committed in the order of their ids.
pub(super) fn changes(
    conn: &mut SqliteConnection,
    since: Option<u64>,
    now: DateTime<Utc>,
) -> QueryResult<AccountChanges> {
    let signed = |position: u64| i64::try_from(position).unwrap_or(i64::MAX);
    let (first, last) = account_changes::table
        .select((dsl::min(account_changes::id), dsl::max(account_changes::id)))
        .first::<(Option<i64>, Option<i64>)>(conn)?;
    let since_id = since.map_or(i64::MAX, signed);
    let removed: Vec<i64> = account_changes::table
        .filter(account_changes::id.gt(since_id))
        .select(account_changes::user_id)
        .load(conn)?;
    let reached: IdRow = Prepared::new(REACHED).get_result(conn)?;
    let read_before = last.map_or(0, i64::unsigned_abs);
    Ok(AccountChanges {
        restart: since.is_some_and(|before| {
            before > read_before
                || first.is_some_and(|first| first > signed(before).saturating_add(1))
        }),
        removed: removed.into_iter().map(|id| id..=id).collect(),
        position: AccountPosition {
            epoch: String::new(),
            read_before,
            seen: BTreeSet::new(),
            made_at: now,
        },
        reached: reached.id,
    })
}

pub(super) fn page(
    conn: &mut SqliteConnection,
    after: Option<UserId>,
    limit: u32,
) -> QueryResult<AccountPage> {
    let rows = users::table
        .filter(users::id.gt(after.map_or(0, UserId::value)))
        .order(users::id)
        .limit(i64::from(limit))
        .select((users::id, users::created_at))
        .load::<(i64, i64)>(conn)?;
    Ok(AccountPage::of(rows.into_iter().filter_map(account)))
}

pub(super) fn find(
    conn: &mut SqliteConnection,
    ids: &[UserId],
) -> QueryResult<Vec<(UserId, DateTime<Utc>)>> {
    let mut found = Vec::new();
    for id in ids {
        let row = users::table
            .find(id.value())
            .select((users::id, users::created_at))
            .first::<(i64, i64)>(conn)
            .optional()?;
        found.extend(row.and_then(account));
    }
    Ok(found)
}

fn account((id, created_at): (i64, i64)) -> Option<(UserId, DateTime<Utc>)> {
    Some((UserId::new(id)?, time(created_at)))
}

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
