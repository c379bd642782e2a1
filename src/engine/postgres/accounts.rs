//! Accounts.

use diesel::{
    OptionalExtension, QueryResult, QueryableByName,
    result::{DatabaseErrorKind, Error},
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::sales::positive;
use crate::port::{NewUser, Registration, StoredUser};

#[derive(QueryableByName)]
struct UserRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    password_hash: String,
    #[diesel(sql_type = Text)]
    role: String,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

pub(super) async fn register(
    connection: &mut AsyncPgConnection,
    user: &NewUser,
) -> QueryResult<Registration> {
    let inserted = sql_query(
        "INSERT INTO users (username, email, password_hash, full_name) VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind::<Text, _>(&user.username)
    .bind::<Text, _>(&user.email)
    .bind::<Text, _>(&user.password_hash)
    .bind::<Nullable<Text>, _>(&user.full_name)
    .get_result::<IdRow>(connection)
    .await;
    match inserted {
        Ok(row) => Ok(Registration::Registered(positive(row.id)?)),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, violation)) => {
            match violation.constraint_name() {
                Some("users_username_key") => Ok(Registration::UsernameTaken),
                Some("users_email_key") => Ok(Registration::EmailTaken),
                _ => Err(Error::DatabaseError(
                    DatabaseErrorKind::UniqueViolation,
                    violation,
                )),
            }
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn find(
    connection: &mut AsyncPgConnection,
    username: &str,
) -> QueryResult<Option<StoredUser>> {
    let row = sql_query(
        "SELECT id, username, password_hash, role FROM users WHERE lower(username) = lower($1)",
    )
    .bind::<Text, _>(username)
    .get_result::<UserRow>(connection)
    .await
    .optional()?;
    row.map(|row| {
        Ok(StoredUser {
            id: positive(row.id)?,
            username: row.username,
            password_hash: row.password_hash,
            role: row.role,
        })
    })
    .transpose()
}
