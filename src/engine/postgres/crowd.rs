//! Accounts in bulk, for `flashsale stress`: shoppers nobody can log in as, if nobody knows the password of their hash.

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared};
use crate::{ids::UserId, port::LedgerError};

/// Rows of a statement: some hundredths of a second of work, far from `statement_timeout`.
const AT_ONCE: u32 = 5_000;

const ADD: &str = "
    INSERT INTO users (username, email, password_hash)
    SELECT name, name || '@stress.invalid', ? FROM (SELECT ? || '-' || n AS name FROM generate_series(?, ?) AS n) AS names
    RETURNING id";

const COUNT: &str = "SELECT count(*) AS id FROM users WHERE id >= ? AND id < ?";

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl PostgresLedger {
    /// Makes accounts `<name>-1` to `<name>-<count>` with the role `user` and this hash of a password, in batches that each
    /// stand by themselves; calls `on_added` with how many there are after each. The names must be new.
    pub async fn add_crowd(
        &self,
        name: &str,
        password_hash: &str,
        count: u32,
        on_added: impl Fn(u32),
    ) -> Result<Vec<UserId>, LedgerError> {
        let mut ids = Vec::new();
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
            ids.extend(batch.into_iter().filter_map(|row| UserId::new(row.id)));
            added = last;
            on_added(added);
        }
        Ok(ids)
    }

    /// How many accounts have an id from `first` on, of `count` ids.
    pub async fn count_crowd(&self, first: UserId, count: u32) -> Result<u64, LedgerError> {
        let end = first.value().saturating_add(i64::from(count));
        let row: NumberRow = Prepared::new(COUNT)
            .bind::<BigInt, _>(first.value())
            .bind::<BigInt, _>(end)
            .get_result(&mut *self.pool.take().await?)
            .await?;
        Ok(row.id.unsigned_abs())
    }
}

async fn add(
    conn: &mut AsyncPgConnection,
    (name, password_hash): (&str, &str),
    first: u32,
    last: u32,
) -> QueryResult<Vec<NumberRow>> {
    Prepared::new(ADD)
        .bind::<Text, _>(password_hash.to_owned())
        .bind::<Text, _>(name.to_owned())
        .bind::<BigInt, _>(i64::from(first))
        .bind::<BigInt, _>(i64::from(last))
        .load(conn)
        .await
}
