//! Reads what is stored of a person, and erases it in one piece of work with the entry of the action log.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    super::{
        Prepared, SqliteLedger, account_store,
        schema::{
            dead_letter_decisions, external_identities, password_resets, service_credentials, users,
        },
        values::{millis, time},
    },
    log, overwriting,
};
use crate::{
    engine::erasure::{DecisionRow, KeyRow},
    ids::UserId,
    port::{
        ActionEntry, AdminError, Erasure, ExternalIdentity, LedgerError, NO_PASSWORD, PersonRecord,
        PersonalData, Scopes, erased_name,
    },
    rules::action_log::{ERASED, ErasedPerson, StoredAction},
};

/// Keys and first answers that may name the person.
const KEYS: &str = "
    SELECT actor, key, key || ' ' || coalesce(body, '') AS text FROM idempotency_keys WHERE actor = ?
        OR instr(lower(key || ' ' || coalesce(body, '')), lower(?)) > 0 OR instr(lower(key || ' ' || coalesce(body, '')), lower(?)) > 0";

const ERASE_KEY: &str = "DELETE FROM idempotency_keys WHERE actor = ? AND key = ?";

/// Decisions whose reason may name the person.
const DECISIONS: &str = "
    SELECT id, reason FROM dead_letter_decisions
    WHERE instr(lower(reason), lower(?)) > 0 OR instr(lower(reason), lower(?)) > 0";

const ERASE_ENTRY: &str = "UPDATE admin_actions SET reason = ?, before = ?, after = ? WHERE id = ?";

#[async_trait]
impl PersonalData for SqliteLedger {
    async fn person(&self, id: UserId) -> Result<Option<PersonRecord>, LedgerError> {
        Ok(self.store.read(move |conn| find(conn, id)).await?)
    }

    async fn erase(&self, id: UserId, entry: &ActionEntry) -> Result<Option<Erasure>, AdminError> {
        self.change(entry, move |conn, now, entry| {
            overwriting(conn, |conn| erase(conn, now, id, entry))
        })
        .await
    }
}

fn find(conn: &mut SqliteConnection, id: UserId) -> QueryResult<Option<PersonRecord>> {
    let Some(user) = account_store::find(conn, id)? else {
        return Ok(None);
    };
    let full_name = users::table
        .find(id.value())
        .select(users::full_name)
        .first::<Option<String>>(conn)?;
    let scopes = service_credentials::table
        .find(id.value())
        .select(service_credentials::scopes)
        .first::<String>(conn)
        .optional()?;
    Ok(Some(PersonRecord {
        user,
        full_name,
        identity: identity(conn, id)?,
        scopes: scopes.as_deref().map(Scopes::known),
    }))
}

fn identity(conn: &mut SqliteConnection, id: UserId) -> QueryResult<Option<ExternalIdentity>> {
    let row = external_identities::table
        .filter(external_identities::user_id.eq(id.value()))
        .select((
            external_identities::issuer,
            external_identities::subject,
            external_identities::created_at,
        ))
        .first::<(String, String, i64)>(conn)
        .optional()?;
    Ok(row.map(|(issuer, subject, created_at)| ExternalIdentity {
        issuer,
        subject,
        created_at: time(created_at),
    }))
}

fn erase(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: UserId,
    entry: &ActionEntry,
) -> Result<Option<Erasure>, AdminError> {
    let Some(user) = account_store::find(conn, id)? else {
        return Ok(None);
    };
    let name = erased_name(id);
    if user.email == name {
        return Ok(Some(Erasure {
            rule: user.sessions,
            log_entries: 0,
            is_new: false,
        }));
    }
    let subject = identity(conn, id)?.map(|identity| identity.subject);
    let person = ErasedPerson::new(id, user.email, subject);
    let erased = erase_from_log(conn, &person)?;
    erase_keys(conn, &person)?;
    erase_decisions(conn, &person)?;
    let of_user = external_identities::user_id.eq(id.value());
    diesel::delete(external_identities::table.filter(of_user)).execute(conn)?;
    diesel::delete(service_credentials::table.find(id.value())).execute(conn)?;
    diesel::delete(password_resets::table.find(id.value())).execute(conn)?;
    diesel::update(users::table.find(id.value()))
        .set((
            users::username.eq(&name),
            users::email.eq(&name),
            users::username_key.eq(&name),
            users::email_key.eq(&name),
            users::password_hash.eq(NO_PASSWORD),
            users::full_name.eq(None::<String>),
        ))
        .execute(conn)?;
    // A trigger ends the tokens of an account that was not disabled before.
    diesel::update(
        users::table
            .find(id.value())
            .filter(users::disabled_at.is_null()),
    )
    .set(users::disabled_at.eq(millis(now)))
    .execute(conn)?;
    log::append(conn, now, &person.change(&erased), &person.entry(entry))?;
    let rule = account_store::rule(conn, id)?;
    Ok(rule.map(|rule| Erasure {
        rule,
        log_entries: erased.len() as u64,
        is_new: true,
    }))
}

fn erase_from_log(
    conn: &mut SqliteConnection,
    person: &ErasedPerson,
) -> Result<Vec<StoredAction>, AdminError> {
    let erased = person.erase_all(&log::about(conn, person)?)?;
    for entry in &erased {
        Prepared::new(ERASE_ENTRY)
            .bind::<Text, _>(entry.reason.clone())
            .bind::<Nullable<Text>, _>(entry.before.clone())
            .bind::<Nullable<Text>, _>(entry.after.clone())
            .bind::<BigInt, _>(entry.id)
            .execute(conn)?;
    }
    Ok(erased)
}

fn erase_keys(conn: &mut SqliteConnection, person: &ErasedPerson) -> QueryResult<()> {
    let [one, other] = person.searched();
    let found: Vec<KeyRow> = Prepared::new(KEYS)
        .bind::<Text, _>(person.target())
        .bind::<Nullable<Text>, _>(one)
        .bind::<Nullable<Text>, _>(other)
        .load(conn)?;
    for row in found.into_iter().filter(|row| row.is_of(person)) {
        Prepared::new(ERASE_KEY)
            .bind::<Text, _>(row.actor)
            .bind::<Text, _>(row.key)
            .execute(conn)?;
    }
    Ok(())
}

fn erase_decisions(conn: &mut SqliteConnection, person: &ErasedPerson) -> QueryResult<()> {
    let [one, other] = person.searched();
    let found: Vec<DecisionRow> = Prepared::new(DECISIONS)
        .bind::<Nullable<Text>, _>(one)
        .bind::<Nullable<Text>, _>(other)
        .load(conn)?;
    for row in found.into_iter().filter(|row| person.names(&row.reason)) {
        diesel::update(dead_letter_decisions::table.find(row.id))
            .set(dead_letter_decisions::reason.eq(ERASED))
            .execute(conn)?;
    }
    Ok(())
}
