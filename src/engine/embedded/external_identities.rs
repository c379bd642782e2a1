//! Accounts of subjects of the shop's issuer.

use async_trait::async_trait;
use diesel::{SqliteConnection, dsl, prelude::*, sql_types::BigInt};

use super::{
    Prepared, SqliteLedger, account_ids,
    schema::{external_identities, users},
    values::{session_rule, time},
};
use crate::{
    ids::UserId,
    port::{ExternalAccount, ExternalIdentities, LedgerError, NO_PASSWORD, external_name},
};

/// The id that AUTOINCREMENT would give next.
const NEXT: &str = "
    SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0), coalesce((SELECT max(id) FROM users), 0)) + 1 AS id";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[async_trait]
impl ExternalIdentities for SqliteLedger {
    async fn find_external(
        &self,
        issuer: &str,
        subjects: &[String],
    ) -> Result<Vec<ExternalAccount>, LedgerError> {
        let (issuer, subjects) = (issuer.to_owned(), subjects.to_vec());
        let find = move |conn: &mut SqliteConnection| {
            let mut found = Vec::new();
            for subject in subjects {
                found.extend(account(conn, &issuer, subject)?);
            }
            Ok(found)
        };
        Ok(self.store.read(find).await?)
    }

    async fn add_external(
        &self,
        issuer: &str,
        subjects: &[String],
        above: i64,
    ) -> Result<Vec<ExternalAccount>, LedgerError> {
        let (issuer, subjects) = (issuer.to_owned(), subjects.to_vec());
        self.write(move |conn| {
            if above > 0 {
                account_ids::continue_above(conn, above)?;
            }
            let mut accounts = Vec::new();
            for subject in subjects {
                let mut found = account(conn, &issuer, subject.clone())?;
                if found.is_none() {
                    add(conn, &issuer, &subject)?;
                    found = account(conn, &issuer, subject)?;
                }
                accounts.extend(found);
            }
            Ok(accounts)
        })
        .await
    }
}

fn account(
    conn: &mut SqliteConnection,
    issuer: &str,
    subject: String,
) -> QueryResult<Option<ExternalAccount>> {
    let row = users::table
        .inner_join(external_identities::table.on(external_identities::user_id.eq(users::id)))
        .filter(external_identities::issuer.eq(issuer))
        .filter(external_identities::subject.eq(&subject))
        .select((
            users::id,
            users::created_at,
            users::disabled_at,
            users::tokens_valid_from,
        ))
        .first::<(i64, i64, Option<i64>, Option<i64>)>(conn)
        .optional()?;
    Ok(row.and_then(|(id, created_at, disabled_at, valid_from)| {
        Some(ExternalAccount {
            subject,
            user: UserId::new(id)?,
            created_at: time(created_at),
            sessions: session_rule(disabled_at, valid_from),
        })
    }))
}

fn add(conn: &mut SqliteConnection, issuer: &str, subject: &str) -> QueryResult<()> {
    // An identity whose account was deleted makes room.
    let lost = external_identities::table
        .filter(external_identities::issuer.eq(issuer))
        .filter(external_identities::subject.eq(subject))
        .filter(dsl::not(dsl::exists(
            users::table.filter(users::id.eq(external_identities::user_id)),
        )));
    diesel::delete(lost).execute(conn)?;
    let next: IdRow = Prepared::new(NEXT).get_result(conn)?;
    let id = UserId::new(next.id).ok_or(diesel::result::Error::NotFound)?;
    let name = external_name(id);
    diesel::insert_into(users::table)
        .values((
            users::id.eq(id.value()),
            users::username.eq(&name),
            users::email.eq(&name),
            users::username_key.eq(&name),
            users::email_key.eq(&name),
            users::password_hash.eq(NO_PASSWORD),
        ))
        .execute(conn)?;
    diesel::insert_into(external_identities::table)
        .values((
            external_identities::issuer.eq(issuer),
            external_identities::subject.eq(subject),
            external_identities::user_id.eq(id.value()),
        ))
        .execute(conn)
        .map(drop)
}
