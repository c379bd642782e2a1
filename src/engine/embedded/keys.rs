//! Sets the keys of accounts that have none because they were made by hand, or by a version without keys.

use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{Prepared, schema::users};
use crate::{
    account_key::AccountKey,
    port::{AccountName, KeyClash, KeyPage},
};

const USERNAME_HOLDER: &str = "SELECT id, username AS name FROM users WHERE username_key = ?";
const EMAIL_HOLDER: &str = "SELECT id, email AS name FROM users WHERE email_key = ?";
const SET_USERNAME_KEY: &str = "UPDATE users SET username_key = ? WHERE id = ?";
const SET_EMAIL_KEY: &str = "UPDATE users SET email_key = ? WHERE id = ?";

#[derive(QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
}

/// Sets the missing keys of the accounts with the lowest ids above `after`. Of accounts with the same key, the one with the
/// lowest id gets it, unless another account has it already.
pub(super) fn set_missing(
    conn: &mut SqliteConnection,
    after: i64,
    limit: u32,
) -> QueryResult<KeyPage> {
    let rows = users::table
        .filter(users::username_key.is_null().or(users::email_key.is_null()))
        .filter(users::id.gt(after))
        .order(users::id)
        .limit(i64::from(limit))
        .select((
            users::id,
            users::username,
            users::email,
            users::username_key,
            users::email_key,
        ))
        .load::<(i64, String, String, Option<String>, Option<String>)>(conn)?;
    let mut page = KeyPage {
        last: rows.last().map(|(id, ..)| *id),
        ..KeyPage::default()
    };
    for (id, username, email, username_key, email_key) in rows {
        if username_key.is_none() {
            set_key(conn, AccountName::Username, id, username, &mut page)?;
        }
        if email_key.is_none() {
            set_key(conn, AccountName::Email, id, email, &mut page)?;
        }
    }
    Ok(page)
}

/// Gives the account the key of its name, unless another one has it.
fn set_key(
    conn: &mut SqliteConnection,
    kind: AccountName,
    id: i64,
    name: String,
    page: &mut KeyPage,
) -> QueryResult<()> {
    let (holder, set_key) = match kind {
        AccountName::Username => (USERNAME_HOLDER, SET_USERNAME_KEY),
        AccountName::Email => (EMAIL_HOLDER, SET_EMAIL_KEY),
    };
    let key = AccountKey::of(&name);
    let holder: Option<HolderRow> = Prepared::new(holder)
        .bind::<Text, _>(key.as_str().to_owned())
        .get_result(conn)
        .optional()?;
    match holder {
        Some(holder) => page.clashes.push(KeyClash {
            kind,
            holder: (holder.id, holder.name),
            other: (id, name),
        }),
        None => {
            page.set += Prepared::new(set_key)
                .bind::<Text, _>(key.as_str().to_owned())
                .bind::<BigInt, _>(id)
                .execute(conn)? as u64;
        }
    }
    Ok(())
}
