//! Service accounts as operators make and change them.

use async_trait::async_trait;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{
    super::{PostgresLedger, Prepared, account_ids, service_accounts::account, users},
    idempotency, log, record,
    transaction::{self, transaction},
};
use crate::{
    ids::UserId,
    port::{
        ActionEntry, AdminError, NewUser, Role, Scopes, SecretHash, ServiceAccess, ServiceAccount,
        ServiceAccountChanges,
    },
    rules::action_log,
};

/// Locks the account, if it is one of a program.
const LOCK: &str = "SELECT id FROM users WHERE id = ? AND role = 'service' FOR NO KEY UPDATE";

/// Sets scopes, and a secret if there is one, and ends the tokens. Changes the account's row first, as everything that ends tokens
/// does.
const SET: &str = "
    WITH account AS (
        UPDATE users SET tokens_valid_from = greatest(
            date_trunc('second', clock_timestamp()) + interval '1 second', date_trunc('second', tokens_valid_from) + interval '2 seconds')
        WHERE id = ? AND role = 'service' AND (?::bytea IS NOT NULL OR EXISTS (SELECT FROM service_credentials WHERE user_id = users.id))
        RETURNING id, disabled_at, tokens_valid_from
    ), changed AS (
        UPDATE service_credentials SET scopes = ?, secret_hash = coalesce(?::bytea, secret_hash), changed_at = now()
        WHERE user_id IN (SELECT id FROM account)
    ), made AS (
        INSERT INTO service_credentials (user_id, scopes, secret_hash)
        SELECT id, ?, ?::bytea FROM account WHERE ?::bytea IS NOT NULL
        ON CONFLICT (user_id) DO NOTHING
    )
    SELECT id, disabled_at, tokens_valid_from FROM account";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[async_trait]
impl ServiceAccountChanges for PostgresLedger {
    async fn add_service_account(
        &self,
        user: &NewUser,
        above: i64,
        access: (Scopes, SecretHash),
        entry: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError> {
        // Sequences are not transactional: raising this one before does no harm if the account is not made.
        account_ids::continue_above(&mut *self.pool.take().await?, above).await?;
        transaction!(self.pool, |conn| add(conn, user, above, access, entry))
    }

    async fn change_service_account(
        &self,
        id: UserId,
        access: ServiceAccess,
        entry: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError> {
        transaction!(self.pool, |conn| change(conn, id, access, entry))
    }
}

/// A name that is taken meanwhile violates the key, and the change is tried again.
async fn add(
    conn: &mut AsyncPgConnection,
    user: &NewUser,
    above: i64,
    (scopes, secret): (Scopes, SecretHash),
    entry: &ActionEntry,
) -> Result<Option<ServiceAccount>, AdminError> {
    idempotency::begin(conn, entry).await?;
    if users::find(conn, &user.username).await?.is_some()
        || users::find_by_email(conn, &user.email).await?.is_some()
    {
        return Ok(None);
    }
    let made = users::insert(conn, user, Role::Service, above).await?;
    let id = made.ok_or(AdminError::NotFound)?;
    set(conn, id, scopes, Some(secret)).await?;
    let after = account(conn, id).await?.ok_or(AdminError::NotFound)?;
    let head = log::lock(conn).await?;
    let change = action_log::made_service_account(&after);
    record(conn, head, &change, entry).await?;
    Ok(Some(after))
}

async fn change(
    conn: &mut AsyncPgConnection,
    id: UserId,
    access: ServiceAccess,
    entry: &ActionEntry,
) -> Result<Option<ServiceAccount>, AdminError> {
    idempotency::begin(conn, entry).await?;
    let locked: Option<IdRow> = Prepared::new(LOCK)
        .bind::<BigInt, _>(id.value())
        .get_result(conn)
        .await
        .optional()?;
    let Some(id) = locked.and_then(|row| UserId::new(row.id)) else {
        return Ok(None);
    };
    let before = account(conn, id).await?;
    let (scopes, secret) = match access {
        ServiceAccess::Scopes(scopes) => (scopes, None),
        ServiceAccess::Secret(secret) => {
            let scopes = before.as_ref().map_or(Scopes::NONE, |before| before.scopes);
            (scopes, Some(secret))
        }
    };
    set(conn, id, scopes, secret).await?;
    let Some(after) = account(conn, id).await? else {
        return Ok(None);
    };
    let head = log::lock(conn).await?;
    let change = action_log::changed_service_account(access, before.as_ref(), &after);
    record(conn, head, &change, entry).await?;
    Ok(Some(after))
}

async fn set(
    conn: &mut AsyncPgConnection,
    id: UserId,
    scopes: Scopes,
    secret: Option<SecretHash>,
) -> QueryResult<()> {
    let secret = || secret.map(|hash| hash.0.to_vec());
    Prepared::new(SET)
        .bind::<BigInt, _>(id.value())
        .bind::<Nullable<Binary>, _>(secret())
        .bind::<Text, _>(scopes.to_string())
        .bind::<Nullable<Binary>, _>(secret())
        .bind::<Text, _>(scopes.to_string())
        .bind::<Nullable<Binary>, _>(secret())
        .bind::<Nullable<Binary>, _>(secret())
        .execute(conn)
        .await
        .map(drop)
}
