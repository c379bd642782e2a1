//! Service accounts as operators make and change them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, prelude::*};

use super::{
    super::{
        SqliteLedger, account_store, schema::service_credentials, service_accounts::account,
        users as user_rows, values::millis,
    },
    idempotency, record,
};
use crate::{
    ids::UserId,
    port::{
        ActionEntry, AdminError, NewUser, Registration, Role, Scopes, SecretHash, ServiceAccess,
        ServiceAccount, ServiceAccountChanges,
    },
    rules::action_log,
};

#[async_trait]
impl ServiceAccountChanges for SqliteLedger {
    async fn add_service_account(
        &self,
        user: &NewUser,
        above: i64,
        access: (Scopes, SecretHash),
        entry: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError> {
        let user = user.clone();
        self.change(entry, move |conn, now, entry| {
            add(conn, now, (&user, above), access, entry)
        })
        .await
    }

    async fn change_service_account(
        &self,
        id: UserId,
        access: ServiceAccess,
        entry: &ActionEntry,
    ) -> Result<Option<ServiceAccount>, AdminError> {
        self.change(entry, move |conn, now, entry| {
            change(conn, now, id, access, entry)
        })
        .await
    }
}

fn add(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    (user, above): (&NewUser, i64),
    (scopes, secret): (Scopes, SecretHash),
    entry: &ActionEntry,
) -> Result<Option<ServiceAccount>, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let id = match user_rows::register(conn, user, Role::Service, above)? {
        Registration::Registered(id) => id,
        Registration::UsernameTaken | Registration::EmailTaken => return Ok(None),
    };
    set(conn, now, id, scopes, secret.0.to_vec())?;
    let after = account(conn, id)?.ok_or(AdminError::NotFound)?;
    record(conn, now, &action_log::made_service_account(&after), entry)?;
    Ok(Some(after))
}

fn change(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: UserId,
    access: ServiceAccess,
    entry: &ActionEntry,
) -> Result<Option<ServiceAccount>, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let user = account_store::find(conn, id)?;
    if user.is_none_or(|user| user.role != Role::Service) {
        return Ok(None);
    }
    let before = account(conn, id)?;
    let stored = before.as_ref().map(|before| (before.scopes, before.secret));
    let (scopes, secret) = match (access, stored) {
        (ServiceAccess::Scopes(scopes), Some((_, secret))) => (scopes, secret),
        (ServiceAccess::Scopes(_), None) => return Ok(None),
        (ServiceAccess::Secret(secret), stored) => {
            (stored.map_or(Scopes::NONE, |(scopes, _)| scopes), secret)
        }
    };
    set(conn, now, id, scopes, secret.0.to_vec())?;
    let after = account(conn, id)?.ok_or(AdminError::NotFound)?;
    let change = action_log::changed_service_account(access, before.as_ref(), &after);
    record(conn, now, &change, entry)?;
    Ok(Some(after))
}

/// Sets scopes and secret, and ends the tokens.
fn set(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: UserId,
    scopes: Scopes,
    secret: Vec<u8>,
) -> QueryResult<()> {
    diesel::replace_into(service_credentials::table)
        .values((
            service_credentials::user_id.eq(id.value()),
            service_credentials::scopes.eq(scopes.to_string()),
            service_credentials::secret_hash.eq(secret),
            service_credentials::changed_at.eq(millis(now)),
        ))
        .execute(conn)?;
    account_store::end_sessions(conn, id, now.timestamp()).map(drop)
}
