//! Endpoints of webhooks as operators add, change and remove them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text},
};

use super::{
    super::{
        Prepared, SqliteLedger,
        values::millis,
        webhooks::{find, set_state},
    },
    idempotency, record,
};
use crate::{
    engine::{
        number::{to_bigint, to_integer},
        webhook::{REPLACE_SECRET, types_to_sql},
    },
    ids::SaleId,
    port::{
        ActionEntry, AdminError, MAX_WEBHOOKS, Webhook, WebhookChanges, WebhookId, WebhookState,
    },
    rules::action_log,
};

const ADD: &str = "
    INSERT INTO webhook_endpoints (id, url, types, flash_sale_id, max_batch, per_second, secret, created_at)
    SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM webhook_endpoints) < ?";

/// For each sale that already has events, sets the position of a new endpoint to the last one, so that the endpoint gets later
/// events only.
const BEGIN: &str = "
    INSERT INTO event_positions (consumer, flash_sale_id, last_seq)
    SELECT ?, id, event_seq FROM flash_sales WHERE event_seq > 0";

/// Removes an endpoint. Its deliveries are removed with it.
const REMOVE: &str = "DELETE FROM webhook_endpoints WHERE id = ?";

const FORGET: &str = "DELETE FROM event_positions WHERE consumer = ?";

const MOVE: &str = "
    INSERT INTO event_positions (consumer, flash_sale_id, last_seq) VALUES (?, ?, ?)
    ON CONFLICT (consumer, flash_sale_id) DO UPDATE SET last_seq = excluded.last_seq";

#[async_trait]
impl WebhookChanges for SqliteLedger {
    async fn add_webhook(
        &self,
        webhook: &Webhook,
        entry: &ActionEntry,
    ) -> Result<bool, AdminError> {
        let webhook = webhook.clone();
        self.change(entry, move |conn, now, entry| {
            add(conn, now, &webhook, entry)
        })
        .await
    }

    async fn remove_webhook(&self, id: WebhookId, entry: &ActionEntry) -> Result<bool, AdminError> {
        self.change(entry, move |conn, now, entry| remove(conn, now, id, entry))
            .await
    }

    async fn replace_webhook_secret(
        &self,
        id: WebhookId,
        secret: &str,
        previous_until: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> Result<Option<Webhook>, AdminError> {
        let secret = secret.to_owned();
        self.change(entry, move |conn, now, entry| {
            rotate(conn, now, id, (secret, previous_until), entry)
        })
        .await
    }

    async fn seek_webhook(
        &self,
        id: WebhookId,
        sale: SaleId,
        after: u64,
        entry: &ActionEntry,
    ) -> Result<Option<Webhook>, AdminError> {
        self.change(entry, move |conn, now, entry| {
            seek(conn, now, id, (sale, after), entry)
        })
        .await
    }
}

fn add(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    webhook: &Webhook,
    entry: &ActionEntry,
) -> Result<bool, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let is_added = insert(conn, webhook)?;
    if is_added {
        record(conn, now, &action_log::added_webhook(webhook), entry)?;
    }
    Ok(is_added)
}

/// False: there are [`MAX_WEBHOOKS`].
fn insert(conn: &mut SqliteConnection, webhook: &Webhook) -> QueryResult<bool> {
    let settings = &webhook.settings;
    let added = Prepared::new(ADD)
        .bind::<Text, _>(webhook.id.to_string())
        .bind::<Text, _>(settings.url.clone())
        .bind::<Text, _>(types_to_sql(&settings.types))
        .bind::<Nullable<BigInt>, _>(settings.sale.map(SaleId::value))
        .bind::<Integer, _>(to_integer(settings.max_batch))
        .bind::<Integer, _>(to_integer(settings.per_second))
        .bind::<Text, _>(webhook.secret.clone())
        .bind::<BigInt, _>(millis(webhook.created_at))
        .bind::<BigInt, _>(to_bigint(MAX_WEBHOOKS as u64))
        .execute(conn)?;
    if added == 1 {
        Prepared::new(BEGIN)
            .bind::<Text, _>(webhook.id.consumer())
            .execute(conn)?;
    }
    Ok(added == 1)
}

fn remove(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: WebhookId,
    entry: &ActionEntry,
) -> Result<bool, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let Some(before) = find(conn, id)? else {
        return Ok(false);
    };
    Prepared::new(FORGET)
        .bind::<Text, _>(id.consumer())
        .execute(conn)?;
    Prepared::new(REMOVE)
        .bind::<Text, _>(id.to_string())
        .execute(conn)?;
    record(conn, now, &action_log::removed_webhook(&before), entry)?;
    Ok(true)
}

fn rotate(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: WebhookId,
    (secret, previous_until): (String, DateTime<Utc>),
    entry: &ActionEntry,
) -> Result<Option<Webhook>, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let Some(before) = find(conn, id)? else {
        return Ok(None);
    };
    Prepared::new(REPLACE_SECRET)
        .bind::<BigInt, _>(millis(previous_until))
        .bind::<Text, _>(secret)
        .bind::<Text, _>(id.to_string())
        .execute(conn)?;
    let after = find(conn, id)?.ok_or(AdminError::NotFound)?;
    let change = action_log::rotated_webhook(&before, &after);
    record(conn, now, &change, entry)?;
    Ok(Some(after))
}

fn seek(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    id: WebhookId,
    (sale, position): (SaleId, u64),
    entry: &ActionEntry,
) -> Result<Option<Webhook>, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let Some(before) = find(conn, id)? else {
        return Ok(None);
    };
    set_state(conn, id, &WebhookState::default())?;
    Prepared::new(MOVE)
        .bind::<Text, _>(id.consumer())
        .bind::<BigInt, _>(sale.value())
        .bind::<BigInt, _>(to_bigint(position))
        .execute(conn)?;
    let after = find(conn, id)?.ok_or(AdminError::NotFound)?;
    let change = action_log::replayed_webhook(&before, &after, sale, position);
    record(conn, now, &change, entry)?;
    Ok(Some(after))
}
