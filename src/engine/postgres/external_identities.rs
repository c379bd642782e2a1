//! Accounts of subjects of the shop's issuer.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error},
    sql_types::{Array, BigInt, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared, account_ids};
use crate::{
    ids::UserId,
    port::{ExternalAccount, ExternalIdentities, LedgerError, SessionRule},
};

const FIND: &str = "
    SELECT i.subject, u.id, u.created_at, u.disabled_at, u.tokens_valid_from
    FROM external_identities i JOIN users u ON u.id = i.user_id
    WHERE i.issuer = ? AND i.subject = ANY(?)";

/// Removes the identities of accounts that were deleted.
const REMOVE_LOST: &str = "
    DELETE FROM external_identities i
    WHERE i.issuer = ? AND i.subject = ANY(?) AND NOT EXISTS (SELECT FROM users WHERE id = i.user_id)";

/// Makes identities and their accounts. The identity is inserted first: of two transactions that make the same identity, the
/// second waits for the first and then makes no account. Subjects whose new id is not above the bound are left out, because the
/// sequence is behind the ids that were assigned already.
const ADD: &str = "
    WITH wanted AS MATERIALIZED (
        SELECT subject, nextval('users_id_seq') AS id FROM unnest(?) AS subject
    ), made AS (
        INSERT INTO external_identities (issuer, subject, user_id)
        SELECT ?, subject, id FROM wanted WHERE id > ? ORDER BY subject
        ON CONFLICT (issuer, subject) DO NOTHING
        RETURNING user_id, 'external:' || user_id AS name
    )
    INSERT INTO users (id, username, email, username_key, email_key, password_hash)
    SELECT user_id, name, name, name, name, '!' FROM made";

/// Maximum number of tries while other writers move the sequence.
const TRIES: u32 = 5;

#[derive(QueryableByName)]
struct AccountRow {
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
}

impl AccountRow {
    fn account(self) -> Option<ExternalAccount> {
        Some(ExternalAccount {
            subject: self.subject,
            user: UserId::new(self.id)?,
            created_at: self.created_at,
            sessions: SessionRule::new(self.disabled_at, self.tokens_valid_from),
        })
    }
}

#[async_trait]
impl ExternalIdentities for PostgresLedger {
    async fn find_external(
        &self,
        issuer: &str,
        subjects: &[String],
    ) -> Result<Vec<ExternalAccount>, LedgerError> {
        Ok(find(&mut *self.pool.take().await?, issuer, subjects).await?)
    }

    async fn add_external(
        &self,
        issuer: &str,
        subjects: &[String],
        above: i64,
    ) -> Result<Vec<ExternalAccount>, LedgerError> {
        Ok(add(&mut *self.pool.take().await?, issuer, subjects, above).await?)
    }
}

async fn find(
    conn: &mut AsyncPgConnection,
    issuer: &str,
    subjects: &[String],
) -> QueryResult<Vec<ExternalAccount>> {
    let rows: Vec<AccountRow> = Prepared::new(FIND)
        .bind::<Text, _>(issuer.to_owned())
        .bind::<Array<Text>, _>(subjects.to_vec())
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(AccountRow::account).collect())
}

async fn add(
    conn: &mut AsyncPgConnection,
    issuer: &str,
    subjects: &[String],
    above: i64,
) -> QueryResult<Vec<ExternalAccount>> {
    for _ in 0..TRIES {
        match add_once(conn, issuer, subjects, above).await {
            Ok(Some(accounts)) => return Ok(accounts),
            // The sequence is not above `above`: the ledger was set back.
            Ok(None) => account_ids::continue_above(conn, above).await?,
            // An account was made by hand with an id that the sequence had not reached.
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::NotFound)
}

/// `None` if accounts are still missing.
async fn add_once(
    conn: &mut AsyncPgConnection,
    issuer: &str,
    subjects: &[String],
    above: i64,
) -> QueryResult<Option<Vec<ExternalAccount>>> {
    conn.build_transaction()
        .read_committed()
        .run(async |conn| {
            account_ids::hold_sequence(conn).await?;
            Prepared::new(REMOVE_LOST)
                .bind::<Text, _>(issuer.to_owned())
                .bind::<Array<Text>, _>(subjects.to_vec())
                .execute(conn)
                .await?;
            Prepared::new(ADD)
                .bind::<Array<Text>, _>(subjects.to_vec())
                .bind::<Text, _>(issuer.to_owned())
                .bind::<BigInt, _>(above)
                .execute(conn)
                .await?;
            let found = find(conn, issuer, subjects).await?;
            Ok((found.len() >= subjects.len()).then_some(found))
        })
        .await
}
