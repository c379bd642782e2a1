//! Endpoints of webhooks, and the deliveries (tries to send events to them).

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{PostgresLedger, Prepared};
use crate::{
    engine::{
        number::{count, number, to_bigint, to_integer},
        webhook::{types_from_sql, types_to_sql},
    },
    ids::SaleId,
    port::{
        Delivery, LedgerError, MAX_DELIVERIES, MAX_WEBHOOKS, Webhook, WebhookId, WebhookSettings,
        WebhookState, Webhooks,
    },
};

const ALL: &str = "
    SELECT id, url, types, flash_sale_id, max_batch, per_second, secret, previous_secret, previous_until, disabled_cause, failures,
        next_attempt_at, created_at
    FROM webhook_endpoints ORDER BY id";

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

const REPLACE_SECRET: &str = "
    UPDATE webhook_endpoints SET previous_secret = secret, previous_until = ?, secret = ? WHERE id = ?";

const SET_STATE: &str = "
    UPDATE webhook_endpoints SET disabled_cause = ?, failures = ?, next_attempt_at = ? WHERE id = ?";

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

/// Stores a delivery. `webhook_deliveries` is a ring buffer for each endpoint, with [`MAX_DELIVERIES`] places: delivery number
/// `deliveries` is stored in the place `deliveries % MAX_DELIVERIES` and overwrites the delivery that was stored there before. So
/// no statement has to remove old rows.
const NOTE: &str = "
    WITH counted AS (UPDATE webhook_endpoints SET deliveries = deliveries + 1 WHERE id = ? RETURNING id, deliveries)
    INSERT INTO webhook_deliveries
        (endpoint_id, place, number, message_id, flash_sale_id, first_seq, last_seq, attempted_at, duration_ms, status, error)
    SELECT id, deliveries % CAST(? AS INTEGER), deliveries, CAST(? AS UUID), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT),
        CAST(? AS TIMESTAMPTZ), CAST(? AS BIGINT), CAST(? AS INTEGER), CAST(? AS TEXT)
    FROM counted
    ON CONFLICT (endpoint_id, place) DO UPDATE SET number = EXCLUDED.number, message_id = EXCLUDED.message_id,
        flash_sale_id = EXCLUDED.flash_sale_id, first_seq = EXCLUDED.first_seq, last_seq = EXCLUDED.last_seq,
        attempted_at = EXCLUDED.attempted_at, duration_ms = EXCLUDED.duration_ms, status = EXCLUDED.status, error = EXCLUDED.error";

const DELIVERIES: &str = "
    SELECT message_id, flash_sale_id, first_seq, last_seq, attempted_at, duration_ms, status, error
    FROM webhook_deliveries WHERE endpoint_id = ? ORDER BY number DESC LIMIT ?";

#[derive(QueryableByName)]
struct WebhookRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Text)]
    types: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    flash_sale_id: Option<i64>,
    #[diesel(sql_type = Integer)]
    max_batch: i32,
    #[diesel(sql_type = Integer)]
    per_second: i32,
    #[diesel(sql_type = Text)]
    secret: String,
    #[diesel(sql_type = Nullable<Text>)]
    previous_secret: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    previous_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    disabled_cause: Option<String>,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    next_attempt_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct DeliveryRow {
    #[diesel(sql_type = SqlUuid)]
    message_id: Uuid,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    first_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = Timestamptz)]
    attempted_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    duration_ms: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
}

impl From<WebhookRow> for Webhook {
    fn from(row: WebhookRow) -> Self {
        Self {
            id: WebhookId(row.id),
            settings: WebhookSettings {
                url: row.url,
                types: types_from_sql(&row.types),
                sale: row.flash_sale_id.and_then(SaleId::new),
                max_batch: count(row.max_batch),
                per_second: count(row.per_second),
            },
            secret: row.secret,
            previous_secret: row.previous_secret.zip(row.previous_until),
            state: WebhookState {
                disabled: row.disabled_cause,
                failures: count(row.failures),
                next_attempt_at: row.next_attempt_at,
            },
            created_at: row.created_at,
        }
    }
}

impl DeliveryRow {
    fn delivery(self) -> Option<Delivery> {
        Some(Delivery {
            message: self.message_id,
            sale: SaleId::new(self.flash_sale_id)?,
            first: number(self.first_seq),
            last: number(self.last_seq),
            at: self.attempted_at,
            duration_ms: number(self.duration_ms),
            status: self.status.and_then(|status| u16::try_from(status).ok()),
            error: self.error,
        })
    }
}

#[async_trait]
impl Webhooks for PostgresLedger {
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        let rows: Vec<WebhookRow> = Prepared::new(ALL)
            .load(&mut *self.pool.take().await?)
            .await?;
        Ok(rows.into_iter().map(Webhook::from).collect())
    }

    async fn add_webhook(&self, webhook: &Webhook) -> Result<bool, LedgerError> {
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
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(added == 1)
    }

    async fn remove_webhook(&self, id: WebhookId) -> Result<bool, LedgerError> {
        let removed = Prepared::new(REMOVE)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Text, _>(id.consumer())
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(removed == 1)
    }

    async fn replace_webhook_secret(
        &self,
        id: WebhookId,
        secret: &str,
        previous_until: DateTime<Utc>,
    ) -> Result<bool, LedgerError> {
        let changed = Prepared::new(REPLACE_SECRET)
            .bind::<Timestamptz, _>(previous_until)
            .bind::<Text, _>(secret.to_owned())
            .bind::<SqlUuid, _>(id.0)
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(changed == 1)
    }

    async fn set_webhook_state(
        &self,
        id: WebhookId,
        state: &WebhookState,
    ) -> Result<(), LedgerError> {
        Prepared::new(SET_STATE)
            .bind::<Nullable<Text>, _>(state.disabled.clone())
            .bind::<Integer, _>(to_integer(state.failures))
            .bind::<Nullable<Timestamptz>, _>(state.next_attempt_at)
            .bind::<SqlUuid, _>(id.0)
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(())
    }

    async fn seek_webhook(
        &self,
        id: WebhookId,
        sale: SaleId,
        after: u64,
    ) -> Result<bool, LedgerError> {
        let moved = Prepared::new(SEEK)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Text, _>(id.consumer())
            .bind::<BigInt, _>(sale.value())
            .bind::<BigInt, _>(to_bigint(after))
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(moved == 1)
    }

    async fn note_delivery(&self, id: WebhookId, delivery: &Delivery) -> Result<(), LedgerError> {
        Prepared::new(NOTE)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Integer, _>(to_integer(MAX_DELIVERIES))
            .bind::<SqlUuid, _>(delivery.message)
            .bind::<BigInt, _>(delivery.sale.value())
            .bind::<BigInt, _>(to_bigint(delivery.first))
            .bind::<BigInt, _>(to_bigint(delivery.last))
            .bind::<Timestamptz, _>(delivery.at)
            .bind::<BigInt, _>(to_bigint(delivery.duration_ms))
            .bind::<Nullable<Integer>, _>(delivery.status.map(i32::from))
            .bind::<Nullable<Text>, _>(
                delivery
                    .error
                    .as_ref()
                    // PostgreSQL refuses a text with NUL, and the text may come from the endpoint.
                    .map(|error| error.replace('\0', " ")),
            )
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(())
    }

    async fn deliveries(&self, id: WebhookId, limit: u32) -> Result<Vec<Delivery>, LedgerError> {
        let rows: Vec<DeliveryRow> = Prepared::new(DELIVERIES)
            .bind::<SqlUuid, _>(id.0)
            .bind::<BigInt, _>(i64::from(limit))
            .load(&mut *self.pool.take().await?)
            .await?;
        Ok(rows.into_iter().filter_map(DeliveryRow::delivery).collect())
    }
}
