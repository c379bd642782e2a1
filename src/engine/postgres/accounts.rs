//! Reads the set of existing accounts for nodes that keep it in memory.

use std::{collections::BTreeSet, ops::RangeInclusive};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared, account_ids, keys, users};
use crate::{
    engine::number::to_bigint,
    ids::UserId,
    port::{
        ACCOUNT_BLOCK, AccountChanges, AccountDirectory, AccountPage, AccountPosition, AccountRun,
        EarlierReads, FoundAccount, KeyPage, LedgerError, NewUser, Registration, Role, SessionRule,
    },
};

/// Removals, and ended sessions, of a transaction that was running, or yet to begin, when the position was made. One statement and one snapshot:
/// what it does not see was not committed, and its transaction is not below the new position.
const CHANGES: &str = "
    SELECT head.at, head.made_at, head.server, head.reached, c.id, c.kind, c.first_id, c.last_id,
        u.id AS user_id, u.disabled_at, u.tokens_valid_from
    FROM (
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS at, now() AS made_at,
            concat_ws(' ', pg_postmaster_start_time(), (SELECT oid FROM pg_database WHERE datname = current_database()),
                'users'::regclass::oid, (SELECT ledger_id FROM ledger_identity)) AS server,
            (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM users_id_seq) AS reached
    ) AS head
    LEFT JOIN account_changes c ON c.changed_by >= ?::text::xid8
    LEFT JOIN users u ON c.kind = 'sessions' AND u.id = c.first_id
    ORDER BY c.id LIMIT ?";

/// Returns runs of consecutive ids instead of single ids: usually one row for each block.
const PAGE: &str = "
    SELECT min(id) AS first, max(id) AS last, max(created_at) AS newest
    FROM (
        SELECT id, created_at, id - row_number() OVER (ORDER BY id) AS run, id / ? AS block
        FROM (SELECT id, created_at FROM users WHERE id > ? ORDER BY id LIMIT ?) AS page
    ) AS runs
    GROUP BY run, block ORDER BY first";

const FIND: &str =
    "SELECT id, created_at, disabled_at, tokens_valid_from FROM users WHERE id = ANY(?)";

const ENDED: &str = "
    SELECT id, created_at, disabled_at, tokens_valid_from FROM users
    WHERE (disabled_at IS NOT NULL OR tokens_valid_from IS NOT NULL)
        AND (disabled_at IS NOT NULL OR tokens_valid_from > to_timestamp(?)) AND id > ?
    ORDER BY id LIMIT ?";

/// If there are more removals, the reader reads all accounts again instead.
const MOST_CHANGES: usize = 100_000;
/// A reader with an older position reads all accounts again: removals are kept for an hour only.
const LONGEST_SILENCE: TimeDelta = TimeDelta::minutes(30);
/// Higher than the id of every transaction.
const NO_TRANSACTION: u64 = u64::MAX;

#[derive(QueryableByName)]
struct ChangeRow {
    #[diesel(sql_type = Text)]
    at: String,
    #[diesel(sql_type = Timestamptz)]
    made_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    server: String,
    #[diesel(sql_type = BigInt)]
    reached: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    first_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    user_id: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
}

impl ChangeRow {
    /// Ids whose accounts were removed.
    fn removed(&self) -> Option<RangeInclusive<i64>> {
        let is_removal = self.kind.as_deref() == Some("removed");
        is_removal.then_some(self.first_id?..=self.last_id?)
    }

    /// An account whose tokens were ended, if it is still there.
    fn sessions(&self) -> Option<(UserId, SessionRule)> {
        let user = UserId::new(self.user_id?)?;
        Some((
            user,
            SessionRule::new(self.disabled_at, self.tokens_valid_from),
        ))
    }
}

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
}

impl FoundRow {
    fn account(self) -> Option<FoundAccount> {
        Some(FoundAccount {
            id: UserId::new(self.id)?,
            made_at: self.created_at,
            sessions: SessionRule::new(self.disabled_at, self.tokens_valid_from),
        })
    }
}

#[derive(QueryableByName)]
struct RunRow {
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
    #[diesel(sql_type = Timestamptz)]
    newest: DateTime<Utc>,
}

impl RunRow {
    fn run(self) -> Option<AccountRun> {
        Some(AccountRun {
            first: UserId::new(self.first)?,
            last: UserId::new(self.last)?,
            newest: self.newest,
        })
    }
}

#[async_trait]
impl AccountDirectory for PostgresLedger {
    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError> {
        Ok(users::register(&mut *self.pool.take().await?, user, Role::User, above).await?)
    }

    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError> {
        Ok(account_ids::continue_above(&mut *self.pool.take().await?, id.value()).await?)
    }

    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError> {
        Ok(changes(&mut *self.pool.take().await?, since).await?)
    }

    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        Ok(page(&mut *self.pool.take().await?, after, limit).await?)
    }

    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError> {
        Ok(find(&mut *self.pool.take().await?, ids).await?)
    }

    async fn ended_sessions(
        &self,
        after: Option<UserId>,
        since: i64,
        limit: u32,
    ) -> Result<Vec<(UserId, SessionRule)>, LedgerError> {
        Ok(ended(&mut *self.pool.take().await?, after, since, limit).await?)
    }

    async fn set_missing_keys(&self, after: i64, limit: u32) -> Result<KeyPage, LedgerError> {
        Ok(keys::set_missing(&mut *self.pool.take().await?, after, limit).await?)
    }
}

pub(super) async fn changes(
    conn: &mut AsyncPgConnection,
    since: Option<&AccountPosition>,
) -> QueryResult<AccountChanges> {
    let from = since.map_or(NO_TRANSACTION, |position| position.read_before);
    let rows: Vec<ChangeRow> = Prepared::new(CHANGES)
        .bind::<Text, _>(from.to_string())
        .bind::<BigInt, _>(to_bigint(MOST_CHANGES + 1))
        .load(conn)
        .await?;
    let head = rows
        .as_slice()
        .first()
        .ok_or(diesel::result::Error::NotFound)?;
    let position = AccountPosition {
        epoch: head.server.clone(),
        read_before: head.at.parse().unwrap_or(0),
        seen: rows.iter().filter_map(|row| row.id).collect(),
        made_at: head.made_at,
    };
    let restart = since.is_some_and(|before| {
        before.epoch != position.epoch
            || before.read_before > position.read_before
            || position.made_at - before.made_at > LONGEST_SILENCE
            || rows.len() > MOST_CHANGES
    });
    let nothing = BTreeSet::new();
    let seen = since.map_or(&nothing, |before| &before.seen);
    let new = || {
        let is_new = |row: &&ChangeRow| row.id.is_some_and(|id| !seen.contains(&id));
        rows.iter().filter(is_new)
    };
    Ok(AccountChanges {
        earlier: if restart {
            EarlierReads::Void
        } else {
            EarlierReads::Valid
        },
        removed: new().filter_map(ChangeRow::removed).collect(),
        sessions: new().filter_map(ChangeRow::sessions).collect(),
        reached: head.reached,
        position,
    })
}

/// The accounts above `after`. Rows whose id is not positive are left out: they are no accounts of this service.
pub(super) async fn page(
    conn: &mut AsyncPgConnection,
    after: Option<UserId>,
    limit: u32,
) -> QueryResult<AccountPage> {
    let rows: Vec<RunRow> = Prepared::new(PAGE)
        .bind::<BigInt, _>(ACCOUNT_BLOCK)
        .bind::<BigInt, _>(after.map_or(0, UserId::value))
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    let runs = rows.into_iter().filter_map(RunRow::run).collect();
    Ok(AccountPage { runs })
}

pub(super) async fn find(
    conn: &mut AsyncPgConnection,
    ids: &[UserId],
) -> QueryResult<Vec<FoundAccount>> {
    let rows: Vec<FoundRow> = Prepared::new(FIND)
        .bind::<Array<BigInt>, _>(ids.iter().map(|id| id.value()).collect::<Vec<_>>())
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(FoundRow::account).collect())
}

/// Accounts that are disabled, or whose tokens were ended after `since`, in seconds since 1970.
pub(super) async fn ended(
    conn: &mut AsyncPgConnection,
    after: Option<UserId>,
    since: i64,
    limit: u32,
) -> QueryResult<Vec<(UserId, SessionRule)>> {
    let rows: Vec<FoundRow> = Prepared::new(ENDED)
        .bind::<BigInt, _>(since)
        .bind::<BigInt, _>(after.map_or(0, UserId::value))
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    let accounts = rows.into_iter().filter_map(FoundRow::account);
    Ok(accounts
        .map(|account| (account.id, account.sessions))
        .collect())
}
