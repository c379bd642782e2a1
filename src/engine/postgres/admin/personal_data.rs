//! Reads what is stored of a person, and erases it in one transaction with the entry of the action log.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{
    super::{PostgresLedger, Prepared, account_store::RuleRow, schema::users, users::StoredRow},
    log,
    transaction::{self, transaction},
};
use crate::{
    engine::erasure::{DecisionRow, KeyRow},
    ids::UserId,
    port::{
        ActionEntry, AdminError, Erasure, ExternalIdentity, LedgerError, PersonRecord,
        PersonalData, Scopes, SessionRule, erased_name,
    },
    rules::action_log::{ERASED, ErasedPerson, StoredAction},
};

const PERSON: &str = "
    SELECT u.full_name, i.issuer, i.subject, i.created_at, s.scopes
    FROM users u
    LEFT JOIN external_identities i ON i.user_id = u.id
    LEFT JOIN service_credentials s ON s.user_id = u.id
    WHERE u.id = ?";

const LOCK: &str = "
    SELECT u.email, i.subject, u.disabled_at, u.tokens_valid_from
    FROM users u LEFT JOIN external_identities i ON i.user_id = u.id WHERE u.id = ? FOR UPDATE OF u";

/// A trigger ends the tokens of an account that was not disabled before.
const ERASE_USER: &str = "
    WITH reset AS (DELETE FROM password_resets WHERE user_id = ?),
    credentials AS (DELETE FROM service_credentials WHERE user_id = ?),
    identity AS (DELETE FROM external_identities WHERE user_id = ?)
    UPDATE users SET username = ?, email = ?, username_key = ?, email_key = ?, password_hash = '!', full_name = NULL,
        disabled_at = coalesce(disabled_at, now()), updated_at = now()
    WHERE id = ? RETURNING id, disabled_at, tokens_valid_from";

/// Keys and first answers that may name the person.
const KEYS: &str = "
    SELECT actor, key, concat_ws(' ', key, body) AS text FROM idempotency_keys WHERE actor = ?
        OR strpos(lower(concat_ws(' ', key, body)), lower(?)) > 0 OR strpos(lower(concat_ws(' ', key, body)), lower(?)) > 0";

const ERASE_KEY: &str = "DELETE FROM idempotency_keys WHERE actor = ? AND key = ?";

/// Decisions whose reason may name the person.
const DECISIONS: &str = "
    SELECT id, reason FROM dead_letter_decisions
    WHERE strpos(lower(reason), lower(?)) > 0 OR strpos(lower(reason), lower(?)) > 0";

const ERASE_DECISION: &str = "UPDATE dead_letter_decisions SET reason = ? WHERE id = ?";

const ERASE_ENTRY: &str = "
    UPDATE admin_actions SET reason = ?, before = ?::text::json, after = ?::text::json WHERE id = ?";

#[derive(QueryableByName)]
struct PersonRow {
    #[diesel(sql_type = Nullable<Text>)]
    full_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    issuer: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    subject: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    scopes: Option<String>,
}

#[derive(QueryableByName)]
struct LockedRow {
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Nullable<Text>)]
    subject: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
}

#[async_trait]
impl PersonalData for PostgresLedger {
    async fn person(&self, id: UserId) -> Result<Option<PersonRecord>, LedgerError> {
        Ok(find(&mut *self.pool.take().await?, id).await?)
    }

    async fn erase(&self, id: UserId, entry: &ActionEntry) -> Result<Option<Erasure>, AdminError> {
        transaction!(self.pool, |conn| erase(conn, id, entry))
    }
}

async fn find(conn: &mut AsyncPgConnection, id: UserId) -> QueryResult<Option<PersonRecord>> {
    let user = users::table
        .find(id.value())
        .select(StoredRow::as_select())
        .first(conn)
        .await
        .optional()?;
    let row: Option<PersonRow> = Prepared::new(PERSON)
        .bind::<BigInt, _>(id.value())
        .get_result(conn)
        .await
        .optional()?;
    let user = user.and_then(StoredRow::user);
    Ok(user.zip(row).map(|(user, row)| PersonRecord {
        user,
        full_name: row.full_name,
        identity: row.issuer.zip(row.subject).zip(row.created_at).map(
            |((issuer, subject), created_at)| ExternalIdentity {
                issuer,
                subject,
                created_at,
            },
        ),
        scopes: row.scopes.as_deref().map(Scopes::known),
    }))
}

async fn erase(
    conn: &mut AsyncPgConnection,
    id: UserId,
    entry: &ActionEntry,
) -> Result<Option<Erasure>, AdminError> {
    let row: Option<LockedRow> = Prepared::new(LOCK)
        .bind::<BigInt, _>(id.value())
        .get_result(conn)
        .await
        .optional()?;
    let Some(row) = row else {
        return Ok(None);
    };
    let name = erased_name(id);
    if row.email == name {
        return Ok(Some(Erasure {
            rule: SessionRule::new(row.disabled_at, row.tokens_valid_from),
            log_entries: 0,
            is_new: false,
        }));
    }
    let person = ErasedPerson::new(id, row.email, row.subject);
    // From here on, no other transaction can write an entry that this one does not see.
    let head = log::lock(conn).await?;
    let erased = erase_from_log(conn, &person).await?;
    erase_keys(conn, &person).await?;
    erase_decisions(conn, &person).await?;
    let rule: RuleRow = Prepared::new(ERASE_USER)
        .bind::<BigInt, _>(id.value())
        .bind::<BigInt, _>(id.value())
        .bind::<BigInt, _>(id.value())
        .bind::<Text, _>(name.clone())
        .bind::<Text, _>(name.clone())
        .bind::<Text, _>(name.clone())
        .bind::<Text, _>(name)
        .bind::<BigInt, _>(id.value())
        .get_result(conn)
        .await?;
    log::append(conn, head, &person.change(&erased), &person.entry(entry)).await?;
    Ok(rule.rule().map(|(_, rule)| Erasure {
        rule,
        log_entries: erased.len() as u64,
        is_new: true,
    }))
}

async fn erase_from_log(
    conn: &mut AsyncPgConnection,
    person: &ErasedPerson,
) -> Result<Vec<StoredAction>, AdminError> {
    let erased = person.erase_all(&log::about(conn, person).await?)?;
    for entry in &erased {
        Prepared::new(ERASE_ENTRY)
            .bind::<Text, _>(entry.reason.clone())
            .bind::<Nullable<Text>, _>(entry.before.clone())
            .bind::<Nullable<Text>, _>(entry.after.clone())
            .bind::<BigInt, _>(entry.id)
            .execute(conn)
            .await?;
    }
    Ok(erased)
}

async fn erase_keys(conn: &mut AsyncPgConnection, person: &ErasedPerson) -> QueryResult<()> {
    let [one, other] = person.searched();
    let found: Vec<KeyRow> = Prepared::new(KEYS)
        .bind::<Text, _>(person.target())
        .bind::<Nullable<Text>, _>(one)
        .bind::<Nullable<Text>, _>(other)
        .load(conn)
        .await?;
    for row in found.into_iter().filter(|row| row.is_of(person)) {
        Prepared::new(ERASE_KEY)
            .bind::<Text, _>(row.actor)
            .bind::<Text, _>(row.key)
            .execute(conn)
            .await?;
    }
    Ok(())
}

async fn erase_decisions(conn: &mut AsyncPgConnection, person: &ErasedPerson) -> QueryResult<()> {
    let [one, other] = person.searched();
    let found: Vec<DecisionRow> = Prepared::new(DECISIONS)
        .bind::<Nullable<Text>, _>(one)
        .bind::<Nullable<Text>, _>(other)
        .load(conn)
        .await?;
    for row in found.into_iter().filter(|row| person.names(&row.reason)) {
        Prepared::new(ERASE_DECISION)
            .bind::<Text, _>(ERASED)
            .bind::<BigInt, _>(row.id)
            .execute(conn)
            .await?;
    }
    Ok(())
}
