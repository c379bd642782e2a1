//! Makes many accounts at once, for `flashsale stress`. If the password of their common hash is unknown, no login is possible.

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared};
use crate::{ids::UserId, port::LedgerError};

/// Number of rows of one statement. It takes some hundredths of a second, which is far below `statement_timeout`.
const AT_ONCE: u32 = 5_000;

const ADD: &str = "
    INSERT INTO users (username, email, password_hash)
    SELECT name, name || '@stress.invalid', ? FROM (SELECT ? || '-' || n AS name FROM generate_series(?, ?) AS n) AS names
    RETURNING id, created_at";

const COUNT: &str =
    "SELECT count(*) AS number, max(created_at) AS newest FROM users WHERE id >= ? AND id < ?";

/// Accounts, and the time at which the newest of them was made, by the ledger's clock. Tokens of them that are older are refused.
#[derive(Debug, Clone, Default)]
pub struct StressAccounts {
    pub users: Vec<UserId>,
    pub newest: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct AddedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    newest: Option<DateTime<Utc>>,
}

impl PostgresLedger {
    /// Makes the accounts `<name>-1` to `<name>-<count>` with the role `user` and this hash of a password. Each batch is
    /// committed by itself; `on_added` is called after each with the number of accounts so far. The names must be new.
    pub async fn add_stress_accounts(
        &self,
        name: &str,
        password_hash: &str,
        count: u32,
        on_added: impl Fn(u32),
    ) -> Result<StressAccounts, LedgerError> {
        let mut accounts = StressAccounts::default();
        let mut added = 0;
        while added < count {
            let last = count.min(added + AT_ONCE);
            let batch = add(
                &mut *self.pool.take().await?,
                (name, password_hash),
                added + 1,
                last,
            )
            .await?;
            for row in batch {
                accounts.users.extend(UserId::new(row.id));
                accounts.newest = accounts.newest.max(row.created_at);
            }
            added = last;
            on_added(added);
        }
        Ok(accounts)
    }

    /// The accounts with the `count` ids from `first` on. If some of these ids have no account, the inner error is the number of
    /// those that have one.
    pub async fn find_stress_accounts(
        &self,
        first: UserId,
        count: u32,
    ) -> Result<Result<StressAccounts, u64>, LedgerError> {
        let end = first.value().saturating_add(i64::from(count));
        let row: CountRow = Prepared::new(COUNT)
            .bind::<BigInt, _>(first.value())
            .bind::<BigInt, _>(end)
            .get_result(&mut *self.pool.take().await?)
            .await?;
        if row.number != i64::from(count) {
            return Ok(Err(row.number.unsigned_abs()));
        }
        Ok(Ok(StressAccounts {
            users: (first.value()..end).filter_map(UserId::new).collect(),
            newest: row.newest.unwrap_or_default(),
        }))
    }
}

async fn add(
    conn: &mut AsyncPgConnection,
    (name, password_hash): (&str, &str),
    first: u32,
    last: u32,
) -> QueryResult<Vec<AddedRow>> {
    Prepared::new(ADD)
        .bind::<Text, _>(password_hash.to_owned())
        .bind::<Text, _>(name.to_owned())
        .bind::<BigInt, _>(i64::from(first))
        .bind::<BigInt, _>(i64::from(last))
        .load(conn)
        .await
}
