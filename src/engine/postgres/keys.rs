//! Sets the keys of accounts that have none because they were made by hand, or by a version without keys.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error},
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Prepared;
use crate::{
    account_key::AccountKey,
    port::{AccountName, KeyClash, KeyPage},
};

const MISSING: &str = "
    SELECT id, username, email, username_key IS NULL AS lacks_username_key, email_key IS NULL AS lacks_email_key
    FROM users WHERE (username_key IS NULL OR email_key IS NULL) AND id > ? ORDER BY id LIMIT ?";

/// Of accounts with the same key, the one with the lowest id gets it, unless another account has it already.
const SET_USERNAME_KEYS: &str = "
    UPDATE users u SET username_key = m.key
    FROM (SELECT DISTINCT ON (key) id, name, key FROM unnest(?, ?, ?) AS m (id, name, key) ORDER BY key, id) m
    WHERE u.id = m.id AND u.username = m.name AND u.username_key IS NULL
        AND NOT EXISTS (SELECT FROM users o WHERE o.username_key = m.key)";

const SET_EMAIL_KEYS: &str = "
    UPDATE users u SET email_key = m.key
    FROM (SELECT DISTINCT ON (key) id, name, key FROM unnest(?, ?, ?) AS m (id, name, key) ORDER BY key, id) m
    WHERE u.id = m.id AND u.email = m.name AND u.email_key IS NULL
        AND NOT EXISTS (SELECT FROM users o WHERE o.email_key = m.key)";

const USERNAME_HOLDERS: &str =
    "SELECT id, username AS name, username_key AS key FROM users WHERE username_key = ANY(?)";
const EMAIL_HOLDERS: &str =
    "SELECT id, email AS name, email_key AS key FROM users WHERE email_key = ANY(?)";

/// Maximum number of tries while concurrent registrations take the same keys.
const TRIES: u32 = 5;

#[derive(QueryableByName)]
struct MissingRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Bool)]
    lacks_username_key: bool,
    #[diesel(sql_type = Bool)]
    lacks_email_key: bool,
}

#[derive(QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    key: String,
}

/// A name of an account, and the key that is missing.
struct Missing {
    id: i64,
    name: String,
    key: AccountKey,
}

/// Sets the missing keys of the accounts with the lowest ids above `after`.
pub(super) async fn set_missing(
    conn: &mut AsyncPgConnection,
    after: i64,
    limit: u32,
) -> QueryResult<KeyPage> {
    let rows: Vec<MissingRow> = Prepared::new(MISSING)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    let mut page = KeyPage {
        last: rows.last().map(|row| row.id),
        ..KeyPage::default()
    };
    let missing = |id, name: &str| Missing {
        id,
        name: name.to_owned(),
        key: AccountKey::of(name),
    };
    let usernames: Vec<Missing> = rows
        .iter()
        .filter(|row| row.lacks_username_key)
        .map(|row| missing(row.id, &row.username))
        .collect();
    let emails: Vec<Missing> = rows
        .iter()
        .filter(|row| row.lacks_email_key)
        .map(|row| missing(row.id, &row.email))
        .collect();
    set(conn, AccountName::Username, &usernames, &mut page).await?;
    set(conn, AccountName::Email, &emails, &mut page).await?;
    Ok(page)
}

async fn set(
    conn: &mut AsyncPgConnection,
    kind: AccountName,
    missing: &[Missing],
    page: &mut KeyPage,
) -> QueryResult<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let (set_keys, holders) = match kind {
        AccountName::Username => (SET_USERNAME_KEYS, USERNAME_HOLDERS),
        AccountName::Email => (SET_EMAIL_KEYS, EMAIL_HOLDERS),
    };
    let keys: Vec<String> = missing.iter().map(|name| name.key.to_string()).collect();
    let mut tries = 0;
    page.set += loop {
        tries += 1;
        let set = Prepared::new(set_keys)
            .bind::<Array<BigInt>, _>(missing.iter().map(|name| name.id).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(
                missing
                    .iter()
                    .map(|name| name.name.clone())
                    .collect::<Vec<_>>(),
            )
            .bind::<Array<Text>, _>(keys.clone())
            .execute(conn)
            .await;
        match set {
            Ok(set) => break set as u64,
            // A registration has just taken one of the keys. The next try leaves this key out.
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) if tries < TRIES => {}
            Err(error) => return Err(error),
        }
    };
    let held: Vec<HolderRow> = Prepared::new(holders)
        .bind::<Array<Text>, _>(keys)
        .load(conn)
        .await?;
    let held: HashMap<&str, &HolderRow> = held.iter().map(|row| (row.key.as_str(), row)).collect();
    page.clashes.extend(missing.iter().filter_map(|name| {
        let holder = held
            .get(name.key.as_str())
            .filter(|row| row.id != name.id)?;
        Some(KeyClash {
            kind,
            holder: (holder.id, holder.name.clone()),
            other: (name.id, name.name.clone()),
        })
    }));
    Ok(())
}
