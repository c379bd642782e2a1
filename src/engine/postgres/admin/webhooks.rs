//! Endpoints of webhooks as operators add, change and remove them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{
    super::{PostgresLedger, Prepared, webhooks::lock},
    idempotency, log, record,
    transaction::{self, transaction},
};
use crate::{
    engine::{
        number::{to_bigint, to_integer},
        webhook::{REPLACE_SECRET, types_to_sql},
    },
    ids::SaleId,
    port::{ActionEntry, AdminError, Change, MAX_WEBHOOKS, Webhook, WebhookChanges, WebhookId},
    rules::action_log,
};

/// Adds an endpoint, unless there are [`MAX_WEBHOOKS`]. For each sale that already has events, the endpoint's position is the last
/// one, so that the endpoint gets later events only.
const ADD: &str = "
    WITH added AS (
        INSERT INTO webhook_endpoints (id, url, types, flash_sale_id, max_batch, per_second, secret, created_at)
        SELECT CAST(? AS UUID), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS INTEGER), CAST(? AS INTEGER),
            CAST(? AS TEXT), CAST(? AS TIMESTAMPTZ)
        WHERE (SELECT count(*) FROM webhook_endpoints) < ?
        RETURNING id
    ), begun AS (
        INSERT INTO event_positions (consumer, flash_sale_id, last_seq)
        SELECT CAST(? AS TEXT), s.id, s.event_seq FROM added, flash_sales s WHERE s.event_seq > 0
    )
    SELECT id FROM added";

const REMOVE: &str = "
    WITH removed AS (DELETE FROM webhook_endpoints WHERE id = ? RETURNING id),
        forgotten AS (DELETE FROM event_positions WHERE consumer = ?)
    SELECT id FROM removed";

/// Sets an endpoint's position in one sale, and enables the endpoint in the same statement: a disabled endpoint would be sent
/// nothing from the new position.
const SEEK: &str = "
    WITH enabled AS (
        UPDATE webhook_endpoints SET disabled_cause = NULL, failures = 0, next_attempt_at = NULL WHERE id = ? RETURNING id
    ), moved AS (
        INSERT INTO event_positions (consumer, flash_sale_id, last_seq)
        SELECT CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM enabled
        ON CONFLICT (consumer, flash_sale_id) DO UPDATE SET last_seq = EXCLUDED.last_seq, updated_at = now()
    )
    SELECT id FROM enabled";

#[async_trait]
impl WebhookChanges for PostgresLedger {
    async fn add_webhook(
        &self,
        webhook: &Webhook,
        entry: &ActionEntry,
    ) -> Result<bool, AdminError> {
        transaction!(self.pool, |conn| add(conn, webhook, entry))
    }

    async fn remove_webhook(&self, id: WebhookId, entry: &ActionEntry) -> Result<bool, AdminError> {
        transaction!(self.pool, |conn| remove(conn, id, entry))
    }

    async fn replace_webhook_secret(
        &self,
        id: WebhookId,
        secret: &str,
        previous_until: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> Result<Option<Webhook>, AdminError> {
        let secret = (secret, previous_until);
        transaction!(self.pool, |conn| rotate(conn, id, secret, entry))
    }

    async fn seek_webhook(
        &self,
        id: WebhookId,
        sale: SaleId,
        after: u64,
        entry: &ActionEntry,
    ) -> Result<Option<Webhook>, AdminError> {
        let position = (sale, after);
        transaction!(self.pool, |conn| seek(conn, id, position, entry))
    }
}

async fn add(
    conn: &mut AsyncPgConnection,
    webhook: &Webhook,
    entry: &ActionEntry,
) -> Result<bool, AdminError> {
    idempotency::begin(conn, entry).await?;
    let settings = &webhook.settings;
    // `ADD` ends with a SELECT, so `execute` returns the number of rows that this SELECT found: 1 if the endpoint was added,
    // else 0.
    let added = Prepared::new(ADD)
        .bind::<SqlUuid, _>(webhook.id.0)
        .bind::<Text, _>(settings.url.clone())
        .bind::<Text, _>(types_to_sql(&settings.types))
        .bind::<Nullable<BigInt>, _>(settings.sale.map(SaleId::value))
        .bind::<Integer, _>(to_integer(settings.max_batch))
        .bind::<Integer, _>(to_integer(settings.per_second))
        .bind::<Text, _>(webhook.secret.clone())
        .bind::<Timestamptz, _>(webhook.created_at)
        .bind::<BigInt, _>(to_bigint(MAX_WEBHOOKS as u64))
        .bind::<Text, _>(webhook.id.consumer())
        .execute(conn)
        .await?;
    if added == 1 {
        note(conn, &action_log::added_webhook(webhook), entry).await?;
    }
    Ok(added == 1)
}

async fn remove(
    conn: &mut AsyncPgConnection,
    id: WebhookId,
    entry: &ActionEntry,
) -> Result<bool, AdminError> {
    idempotency::begin(conn, entry).await?;
    let Some(before) = lock(conn, id).await? else {
        return Ok(false);
    };
    Prepared::new(REMOVE)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(id.consumer())
        .execute(conn)
        .await?;
    note(conn, &action_log::removed_webhook(&before), entry).await?;
    Ok(true)
}

async fn rotate(
    conn: &mut AsyncPgConnection,
    id: WebhookId,
    (secret, previous_until): (&str, DateTime<Utc>),
    entry: &ActionEntry,
) -> Result<Option<Webhook>, AdminError> {
    idempotency::begin(conn, entry).await?;
    let Some(before) = lock(conn, id).await? else {
        return Ok(None);
    };
    Prepared::new(REPLACE_SECRET)
        .bind::<Timestamptz, _>(previous_until)
        .bind::<Text, _>(secret.to_owned())
        .bind::<SqlUuid, _>(id.0)
        .execute(conn)
        .await?;
    let after = lock(conn, id).await?.ok_or(AdminError::NotFound)?;
    let change = action_log::rotated_webhook(&before, &after);
    note(conn, &change, entry).await?;
    Ok(Some(after))
}

async fn seek(
    conn: &mut AsyncPgConnection,
    id: WebhookId,
    (sale, position): (SaleId, u64),
    entry: &ActionEntry,
) -> Result<Option<Webhook>, AdminError> {
    idempotency::begin(conn, entry).await?;
    let Some(before) = lock(conn, id).await? else {
        return Ok(None);
    };
    Prepared::new(SEEK)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(id.consumer())
        .bind::<BigInt, _>(sale.value())
        .bind::<BigInt, _>(to_bigint(position))
        .execute(conn)
        .await?;
    let after = lock(conn, id).await?.ok_or(AdminError::NotFound)?;
    let change = action_log::replayed_webhook(&before, &after, sale, position);
    note(conn, &change, entry).await?;
    Ok(Some(after))
}

/// Writes the entry of the change that this transaction makes.
async fn note(
    conn: &mut AsyncPgConnection,
    change: &Change,
    entry: &ActionEntry,
) -> QueryResult<()> {
    let head = log::lock(conn).await?;
    record(conn, head, change, entry).await.map(drop)
}
