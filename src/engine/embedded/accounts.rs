//! Reads the set of existing accounts for the process that keeps it in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, dsl, prelude::*, sql_types::BigInt};

use super::{
    Prepared, SqliteLedger, account_ids, keys,
    schema::{account_changes, users},
    users as user_rows,
    values::{session_rule, time},
};
use crate::{
    engine::number::to_bigint,
    ids::UserId,
    port::{
        AccountChanges, AccountDirectory, AccountPage, AccountPosition, EarlierReads, FoundAccount,
        KeyPage, LedgerError, NewUser, Registration, Role, SessionRule,
    },
};

/// The highest id that the table ever had, which SQLite keeps for AUTOINCREMENT.
const REACHED: &str =
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0) AS id";
#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[async_trait]
impl AccountDirectory for SqliteLedger {
    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        let user = user.clone();
        self.write(move |conn| user_rows::register(conn, &user, Role::User, above))
            .await
    }

    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError> {
        self.write(move |conn| account_ids::continue_above(conn, id.value()))
            .await
    }

    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        let (since, now) = (since.map(|position| position.read_before), self.clock.now());
        Ok(self
            .store
            .read(move |conn| changes(conn, since, now))
            .await?)
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        Ok(self
            .store
            .read(move |conn| page(conn, after, limit))
            .await?)
    }

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        let ids = ids.to_vec();
        Ok(self.store.read(move |conn| find(conn, &ids)).await?)
    }

    async fn ended_sessions(
        &self,
        after: Option<UserId>,
        since: i64,
        limit: u32,
    ) -> Result<Vec<(UserId, SessionRule)>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| ended(conn, after, since, limit))
            .await?)
    }

    async fn set_missing_keys(&self, after: i64, limit: u32) -> Result<KeyPage, LedgerError> {
        self.write(move |conn| keys::set_missing(conn, after, limit))
            .await
    }
}

/// The changes since a position, which is the highest id of a change that was read. That is enough because there is one writer
/// at a time: changes are committed in the order of their ids.
pub(super) fn changes(
    conn: &mut SqliteConnection,
    since: Option<u64>,
    now: DateTime<Utc>,
) -> QueryResult<AccountChanges> {
    let (first, last) = account_changes::table
        .select((dsl::min(account_changes::id), dsl::max(account_changes::id)))
        .first::<(Option<i64>, Option<i64>)>(conn)?;
    let since_id = since.map_or(i64::MAX, to_bigint);
    let changed = |kind: &'static str| {
        account_changes::table.filter(
            account_changes::id
                .gt(since_id)
                .and(account_changes::kind.eq(kind)),
        )
    };
    let removed: Vec<i64> = changed("removed")
        .select(account_changes::user_id)
        .load(conn)?;
    let sessions = changed("sessions")
        .inner_join(users::table.on(users::id.eq(account_changes::user_id)))
        .select((users::id, users::disabled_at, users::tokens_valid_from))
        .load::<RuleRow>(conn)?;
    let reached: IdRow = Prepared::new(REACHED).get_result(conn)?;
    let read_before = last.map_or(0, i64::unsigned_abs);
    let restart = since.is_some_and(|before| {
        before > read_before
            || first.is_some_and(|first| first > to_bigint(before).saturating_add(1))
    });
    Ok(AccountChanges {
        earlier: if restart {
            EarlierReads::Void
        } else {
            EarlierReads::Valid
        },
        removed: removed.into_iter().map(|id| id..=id).collect(),
        sessions: sessions.into_iter().filter_map(rule).collect(),
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

pub(super) fn find(conn: &mut SqliteConnection, ids: &[UserId]) -> QueryResult<Vec<FoundAccount>> {
    let mut found = Vec::new();
    for id in ids {
        let row = users::table
            .find(id.value())
            .select((
                users::created_at,
                users::disabled_at,
                users::tokens_valid_from,
            ))
            .first::<(i64, Option<i64>, Option<i64>)>(conn)
            .optional()?;
        found.extend(
            row.map(|(created_at, disabled_at, valid_from)| FoundAccount {
                id: *id,
                made_at: time(created_at),
                sessions: session_rule(disabled_at, valid_from),
            }),
        );
    }
    Ok(found)
}

/// Accounts that are disabled, or whose tokens were ended after `since`, in seconds since 1970.
pub(super) fn ended(
    conn: &mut SqliteConnection,
    after: Option<UserId>,
    since: i64,
    limit: u32,
) -> QueryResult<Vec<(UserId, SessionRule)>> {
    let is_disabled = users::disabled_at.is_not_null();
    let rows = users::table
        .filter(is_disabled.or(users::tokens_valid_from.is_not_null()))
        .filter(is_disabled.or(users::tokens_valid_from.gt(since.saturating_mul(1_000))))
        .filter(users::id.gt(after.map_or(0, UserId::value)))
        .order(users::id)
        .limit(i64::from(limit))
        .select((users::id, users::disabled_at, users::tokens_valid_from))
        .load::<RuleRow>(conn)?;
    Ok(rows.into_iter().filter_map(rule).collect())
}

/// Id, `disabled_at` and `tokens_valid_from` of an account.
type RuleRow = (i64, Option<i64>, Option<i64>);

fn rule((id, disabled_at, valid_from): RuleRow) -> Option<(UserId, SessionRule)> {
    Some((UserId::new(id)?, session_rule(disabled_at, valid_from)))
}

fn account((id, created_at): (i64, i64)) -> Option<(UserId, DateTime<Utc>)> {
    Some((UserId::new(id)?, time(created_at)))
}
