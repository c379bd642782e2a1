//! Accounts. Passwords arrive hashed; checking them is `auth`'s.

use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error},
    sql_types::Text,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::users;
use crate::{
    ids::UserId,
    port::{NewUser, Registration, StoredUser},
};

diesel::define_sql_function! {
    fn lower(text: Text) -> Text;
}

/// Makes an account with the role `user`. Who was first is decided by the unique indexes.
pub(super) async fn register(
    conn: &mut AsyncPgConnection,
    user: &NewUser,
) -> QueryResult<Registration> {
    let inserted = diesel::insert_into(users::table)
        .values((
            users::username.eq(&user.username),
            users::email.eq(&user.email),
            users::password_hash.eq(&user.password_hash),
            users::full_name.eq(user.full_name.as_deref()),
        ))
        .returning(users::id)
        .get_result::<i64>(conn)
        .await;
    match inserted {
        Ok(id) => UserId::new(id)
            .map(Registration::Registered)
            .ok_or(Error::NotFound),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information)) => {
            match information.constraint_name() {
                Some("users_username_lower_key") => Ok(Registration::UsernameTaken),
                Some("users_email_lower_key") => Ok(Registration::EmailTaken),
                _ => Err(Error::DatabaseError(
                    DatabaseErrorKind::UniqueViolation,
                    information,
                )),
            }
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn find(
    conn: &mut AsyncPgConnection,
    username: &str,
) -> QueryResult<Option<StoredUser>> {
    // PostgreSQL has no text with NUL, so nobody has such a name.
    if username.contains('\0') {
        return Ok(None);
    }
    let row = users::table
        .filter(lower(users::username).eq(lower(username)))
        .select((
            users::id,
            users::username,
            users::password_hash,
            users::role,
        ))
        .first::<(i64, String, String, String)>(conn)
        .await
        .optional()?;
    Ok(row.and_then(|(id, username, password_hash, role)| {
        UserId::new(id).map(|id| StoredUser {
            id,
            username,
            password_hash,
            role,
        })
    }))
}
