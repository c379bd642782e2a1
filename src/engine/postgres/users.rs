//! Accounts. Passwords arrive as hashes; `auth` verifies them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error},
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared, account_ids, schema::users};
use crate::{
    account_key::AccountKey,
    ids::UserId,
    port::{
        Credentials, LedgerError, NewUser, PasswordHashOutcome, Registration, Role, SessionRule,
        StoredUser,
    },
};

/// Inserts an account with the next id of the sequence. Inserts nothing if that id is not above the bound, because the sequence
/// is behind the ids that were assigned already.
const REGISTER: &str = "
    WITH next AS MATERIALIZED (SELECT nextval('users_id_seq') AS id)
    INSERT INTO users (id, username, email, username_key, email_key, password_hash, full_name, role)
    SELECT id, ?, ?, ?, ?, ?, ?, ? FROM next WHERE id > ?
    RETURNING id";

/// Names of the unique indexes on the keys. The first is the present name, which an earlier version used for its index on
/// `lower()`; the second is in use between two migrations.
const USERNAME_INDEXES: [&str; 2] = ["users_username_lower_key", "users_username_key_key"];
const EMAIL_INDEXES: [&str; 2] = ["users_email_lower_key", "users_email_key_key"];

/// Maximum number of tries to register while other writers move the sequence.
const TRIES: u32 = 5;

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// An account as [`StoredUser`] has it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct StoredRow {
    id: i64,
    username: String,
    email: String,
    password_hash: String,
    role: String,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
    tokens_valid_from: Option<DateTime<Utc>>,
}

impl StoredRow {
    pub(super) fn user(self) -> Option<StoredUser> {
        Some(StoredUser {
            id: UserId::new(self.id)?,
            username: self.username,
            email: self.email,
            password_hash: self.password_hash,
            role: Role::from_sql(&self.role),
            created_at: self.created_at,
            sessions: SessionRule::new(self.disabled_at, self.tokens_valid_from),
        })
    }
}

#[async_trait]
impl Credentials for PostgresLedger {
    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError> {
        Ok(find(&mut *self.pool.take().await?, username).await?)
    }

    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError> {
        Ok(replace_hash(&mut *self.pool.take().await?, user, old, new).await?)
    }
}

/// Makes an account with an id above this one. Who was first is decided by the unique indexes.
pub(super) async fn register(
    conn: &mut AsyncPgConnection,
    user: &NewUser,
    role: Role,
    above: i64,
) -> QueryResult<Registration> {
    for _ in 0..TRIES {
        match insert_alone(conn, user, role, above).await {
            Ok(Some(id)) => return Ok(Registration::Registered(id)),
            // The sequence is not above `above`: the ledger was set back.
            Ok(None) => account_ids::continue_above(conn, above).await?,
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information)) => {
                match information.constraint_name() {
                    Some(name) if USERNAME_INDEXES.contains(&name) => {
                        return Ok(Registration::UsernameTaken);
                    }
                    Some(name) if EMAIL_INDEXES.contains(&name) => {
                        return Ok(Registration::EmailTaken);
                    }
                    // An account was made by hand with an id that the sequence had not reached.
                    Some("users_pkey") => {}
                    _ => {
                        return Err(Error::DatabaseError(
                            DatabaseErrorKind::UniqueViolation,
                            information,
                        ));
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::NotFound)
}

async fn insert_alone(
    conn: &mut AsyncPgConnection,
    user: &NewUser,
    role: Role,
    above: i64,
) -> QueryResult<Option<UserId>> {
    conn.build_transaction()
        .read_committed()
        .run(async |conn| insert(conn, user, role, above).await)
        .await
}

/// Inserts an account, in a transaction. `None`: the sequence of the ids is not above `above`.
pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    user: &NewUser,
    role: Role,
    above: i64,
) -> QueryResult<Option<UserId>> {
    account_ids::hold_sequence(conn).await?;
    let row: Option<IdRow> = Prepared::new(REGISTER)
        .bind::<Text, _>(user.username.clone())
        .bind::<Text, _>(user.email.clone())
        .bind::<Text, _>(String::from(AccountKey::of(&user.username)))
        .bind::<Text, _>(String::from(AccountKey::of(&user.email)))
        .bind::<Text, _>(user.password_hash.clone())
        .bind::<Nullable<Text>, _>(user.full_name.clone())
        .bind::<Text, _>(role.to_sql())
        .bind::<BigInt, _>(above)
        .get_result(conn)
        .await
        .optional()?;
    row.map(|row| UserId::new(row.id).ok_or(Error::NotFound))
        .transpose()
}

pub(super) async fn find(
    conn: &mut AsyncPgConnection,
    username: &str,
) -> QueryResult<Option<StoredUser>> {
    // PostgreSQL stores no text with NUL, so no account has such a name.
    if username.contains('\0') {
        return Ok(None);
    }
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
        .await
        .optional()?;
    Ok(row.and_then(StoredRow::user))
}

/// The same by the e-mail address.
pub(super) async fn find_by_email(
    conn: &mut AsyncPgConnection,
    email: &str,
) -> QueryResult<Option<StoredUser>> {
    if email.contains('\0') {
        return Ok(None);
    }
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
        .await
        .optional()?;
    Ok(row.and_then(StoredRow::user))
}

/// Replaces the hash if the account still has the old one.
pub(super) async fn replace_hash(
    conn: &mut AsyncPgConnection,
    user: UserId,
    old: &str,
    new: &str,
) -> QueryResult<PasswordHashOutcome> {
    let with_old =
        users::table.filter(users::id.eq(user.value()).and(users::password_hash.eq(old)));
    let changed = diesel::update(with_old)
        .set((
            users::password_hash.eq(new),
            users::updated_at.eq(diesel::dsl::now),
        ))
        .execute(conn)
        .await?;
    Ok(match changed {
        1 => PasswordHashOutcome::Replaced,
        _ => PasswordHashOutcome::Superseded,
    })
}
