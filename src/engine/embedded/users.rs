//! Accounts. Passwords arrive as hashes; `auth` verifies them.

use async_trait::async_trait;
use diesel::{
    SqliteConnection,
    prelude::*,
    result::{DatabaseErrorKind, Error},
};

use super::{
    SqliteLedger, account_ids,
    schema::users,
    values::{session_rule, time},
};
use crate::{
    account_key::AccountKey,
    ids::UserId,
    port::{
        Credentials, LedgerError, NewUser, PasswordHashOutcome, Registration, Role, StoredUser,
    },
};

/// An account as [`StoredUser`] has it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct StoredRow {
    id: i64,
    username: String,
    email: String,
    password_hash: String,
    role: String,
    created_at: i64,
    disabled_at: Option<i64>,
    tokens_valid_from: Option<i64>,
}

impl StoredRow {
    pub(super) fn user(self) -> Option<StoredUser> {
        Some(StoredUser {
            id: UserId::new(self.id)?,
            username: self.username,
            email: self.email,
            password_hash: self.password_hash,
            role: Role::from_sql(&self.role),
            created_at: time(self.created_at),
            sessions: session_rule(self.disabled_at, self.tokens_valid_from),
        })
    }
}

#[async_trait]
impl Credentials for SqliteLedger {
    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        let username = username.to_owned();
        Ok(self.store.read(move |conn| find(conn, &username)).await?)
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.write(move |conn| replace_hash(conn, user, &old, &new))
            .await
    }
}

/// Makes an account with an id above this one. Who was first is decided by the unique columns.
pub(super) fn register(
    conn: &mut SqliteConnection,
    user: &NewUser,
    role: Role,
    above: i64,
) -> QueryResult<Registration> {
    if above > 0 {
        account_ids::continue_above(conn, above)?;
    }
    let inserted = diesel::insert_into(users::table)
        .values((
            users::username.eq(&user.username),
            users::email.eq(&user.email),
            users::username_key.eq(AccountKey::of(&user.username).as_str()),
            users::email_key.eq(AccountKey::of(&user.email).as_str()),
            users::password_hash.eq(&user.password_hash),
            users::full_name.eq(user.full_name.as_deref()),
            users::role.eq(role.to_sql()),
        ))
        .returning(users::id)
        .get_result::<i64>(conn);
    match inserted {
        Ok(id) => UserId::new(id)
            .map(Registration::Registered)
            .ok_or(Error::NotFound),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information)) => {
            if information.message().contains("users.username") {
                Ok(Registration::UsernameTaken)
            } else if information.message().contains("users.email") {
                // If both names are taken, SQLite reports one of them. The username is reported first.
                Ok(match find(conn, &user.username)? {
                    Some(_) => Registration::UsernameTaken,
                    None => Registration::EmailTaken,
                })
            } else {
                Err(Error::DatabaseError(
                    DatabaseErrorKind::UniqueViolation,
                    information,
                ))
            }
        }
        Err(error) => Err(error),
    }
}

pub(super) fn find(conn: &mut SqliteConnection, username: &str) -> QueryResult<Option<StoredUser>> {
    let exact = users::username_key
        .is_null()
        .and(users::username.eq(username));
    let row = users::table
        .filter(
            users::username_key
                .eq(AccountKey::of(username).as_str())
                .or(exact),
        )
        // An account without a key whose name matches exactly comes before the account that has the key.
        .order(users::username_key.is_not_null())
        .select(StoredRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.and_then(StoredRow::user))
}

/// The same by the e-mail address.
pub(super) fn find_by_email(
    conn: &mut SqliteConnection,
    email: &str,
) -> QueryResult<Option<StoredUser>> {
    let exact = users::email_key.is_null().and(users::email.eq(email));
    let row = users::table
        .filter(
            users::email_key
                .eq(AccountKey::of(email).as_str())
                .or(exact),
        )
        .order(users::email_key.is_not_null())
        .select(StoredRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.and_then(StoredRow::user))
}

/// Replaces the hash if the account still has the old one.
pub(super) fn replace_hash(
    conn: &mut SqliteConnection,
    user: UserId,
    old: &str,
    new: &str,
) -> QueryResult<PasswordHashOutcome> {
    let with_old =
        users::table.filter(users::id.eq(user.value()).and(users::password_hash.eq(old)));
    let changed = diesel::update(with_old)
        .set(users::password_hash.eq(new))
        .execute(conn)?;
    Ok(match changed {
        1 => PasswordHashOutcome::Replaced,
        _ => PasswordHashOutcome::Superseded,
    })
}
