//! The keys of accounts that were made without them: by hand, or before there were keys.

use diesel::{SqliteConnection, prelude::*};

use super::schema::users;
use crate::{
    account_key::AccountKey,
    port::{AccountName, KeyClash, KeyPage},
};

/// Sets the missing keys of the accounts with the lowest ids above `after`. The oldest account of a key gets it, unless another
/// one has it.
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
            set_username_key(conn, id, username, &mut page)?;
        }
        if email_key.is_none() {
            set_email_key(conn, id, email, &mut page)?;
        }
    }
    Ok(page)
}

fn set_username_key(
    conn: &mut SqliteConnection,
    id: i64,
    name: String,
    page: &mut KeyPage,
) -> QueryResult<()> {
    let key = AccountKey::of(&name);
    let holder = users::table
        .filter(users::username_key.eq(key.as_str()))
        .select((users::id, users::username))
        .first::<(i64, String)>(conn)
        .optional()?;
    match holder {
        Some(holder) => page.clashes.push(KeyClash {
            kind: AccountName::Username,
            holder,
            other: (id, name),
        }),
        None => {
            page.set += diesel::update(users::table.find(id))
                .set(users::username_key.eq(key.as_str()))
                .execute(conn)? as u64;
        }
    }
    Ok(())
}

fn set_email_key(
    conn: &mut SqliteConnection,
    id: i64,
    name: String,
    page: &mut KeyPage,
) -> QueryResult<()> {
    let key = AccountKey::of(&name);
    let holder = users::table
        .filter(users::email_key.eq(key.as_str()))
        .select((users::id, users::email))
        .first::<(i64, String)>(conn)
        .optional()?;
    match holder {
        Some(holder) => page.clashes.push(KeyClash {
            kind: AccountName::Email,
            holder,
            other: (id, name),
        }),
        None => {
            page.set += diesel::update(users::table.find(id))
                .set(users::email_key.eq(key.as_str()))
                .execute(conn)? as u64;
        }
    }
    Ok(())
}
