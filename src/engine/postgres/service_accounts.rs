//! Reads service accounts: their scopes, and the hashes of their secrets.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared, users};
use crate::{
    ids::UserId,
    port::{
        LedgerError, Role, Scopes, SecretHash, ServiceAccount, ServiceAccounts, SessionRule,
        StoredUser,
    },
};

/// SELECT of service accounts with scopes and secret hash; the argument is the rest of the statement.
macro_rules! accounts {
    ($where:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.created_at, u.disabled_at, u.tokens_valid_from, c.scopes, c.secret_hash
            FROM users u JOIN service_credentials c ON c.user_id = u.id WHERE u.role = 'service' AND ",
            $where
        )
    };
}

const OF_ID: &str = accounts!("u.id = ?");

const LIST: &str = accounts!("u.id > ? ORDER BY u.id LIMIT ?");

#[derive(QueryableByName)]
struct AccountRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    scopes: String,
    #[diesel(sql_type = Binary)]
    secret_hash: Vec<u8>,
}

impl AccountRow {
    fn account(self) -> Option<ServiceAccount> {
        let sessions = SessionRule::new(self.disabled_at, self.tokens_valid_from);
        Some(ServiceAccount {
            user: StoredUser {
                id: UserId::new(self.id)?,
                username: self.username,
                email: self.email,
                // A program logs in with its secret alone.
                password_hash: String::new(),
                role: Role::Service,
                created_at: self.created_at,
                sessions,
            },
            scopes: Scopes::known(&self.scopes),
            secret: SecretHash(self.secret_hash.try_into().ok()?),
        })
    }
}

#[async_trait]
impl ServiceAccounts for PostgresLedger {
    async fn service_account(
        &self,
        client_id: &str,
    ) -> Result<Option<ServiceAccount>, LedgerError> {
        let mut session = self.pool.take().await?;
        let Some(user) = users::find(&mut session, client_id).await? else {
            return Ok(None);
        };
        Ok(account(&mut session, user.id).await?)
    }

    async fn service_account_of(&self, id: UserId) -> Result<Option<ServiceAccount>, LedgerError> {
        Ok(account(&mut *self.pool.take().await?, id).await?)
    }

    async fn service_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<ServiceAccount>, LedgerError> {
        let rows: Vec<AccountRow> = Prepared::new(LIST)
            .bind::<BigInt, _>(after.map_or(0, UserId::value))
            .bind::<BigInt, _>(i64::from(limit))
            .load(&mut *self.pool.take().await?)
            .await?;
        Ok(rows.into_iter().filter_map(AccountRow::account).collect())
    }
}

pub(super) async fn account(
    conn: &mut AsyncPgConnection,
    id: UserId,
) -> QueryResult<Option<ServiceAccount>> {
    let row: Option<AccountRow> = Prepared::new(OF_ID)
        .bind::<BigInt, _>(id.value())
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.and_then(AccountRow::account))
}
