//! Reads service accounts: their scopes, and the hashes of their secrets.

use async_trait::async_trait;
use diesel::{SqliteConnection, prelude::*};

use super::{
    SqliteLedger, account_store,
    schema::{service_credentials, users},
    users as user_rows,
};
use crate::{
    ids::UserId,
    port::{LedgerError, Role, Scopes, SecretHash, ServiceAccount, ServiceAccounts},
};

#[async_trait]
impl ServiceAccounts for SqliteLedger {
    async fn service_account(
        &self,
        client_id: &str,
    ) -> Result<Option<ServiceAccount>, LedgerError> {
        let client_id = client_id.to_owned();
        let find = move |conn: &mut SqliteConnection| {
            let user = user_rows::find(conn, &client_id)?;
            user.map_or(Ok(None), |user| account(conn, user.id))
        };
        Ok(self.store.read(find).await?)
    }

    async fn service_account_of(&self, id: UserId) -> Result<Option<ServiceAccount>, LedgerError> {
        Ok(self.store.read(move |conn| account(conn, id)).await?)
    }

    async fn service_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<ServiceAccount>, LedgerError> {
        let list = move |conn: &mut SqliteConnection| {
            let ids = service_credentials::table
                .inner_join(users::table.on(users::id.eq(service_credentials::user_id)))
                .filter(users::role.eq(Role::Service.to_sql()))
                .filter(service_credentials::user_id.gt(after.map_or(0, UserId::value)))
                .order(service_credentials::user_id)
                .limit(i64::from(limit))
                .select(service_credentials::user_id)
                .load::<i64>(conn)?;
            let mut accounts = Vec::new();
            for id in ids.into_iter().filter_map(UserId::new) {
                accounts.extend(account(conn, id)?);
            }
            Ok(accounts)
        };
        Ok(self.store.read(list).await?)
    }
}

pub(super) fn account(
    conn: &mut SqliteConnection,
    id: UserId,
) -> QueryResult<Option<ServiceAccount>> {
    let stored = service_credentials::table
        .find(id.value())
        .select((
            service_credentials::scopes,
            service_credentials::secret_hash,
        ))
        .first::<(String, Vec<u8>)>(conn)
        .optional()?;
    let user = account_store::find(conn, id)?.filter(|user| user.role == Role::Service);
    Ok(user.zip(stored).and_then(|(user, (scopes, hash))| {
        Some(ServiceAccount {
            user,
            scopes: Scopes::known(&scopes),
            secret: SecretHash(hash.try_into().ok()?),
        })
    }))
}
