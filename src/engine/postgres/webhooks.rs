//! Endpoints of webhooks as a sender reads them, and the deliveries (tries to send events to them).

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{PostgresLedger, Prepared};
use crate::{
    engine::{
        number::{count, number, to_bigint, to_integer},
        webhook::{DELIVERIES, SET_STATE, endpoints, types_from_sql},
    },
    ids::SaleId,
    port::{
        Delivery, LedgerError, MAX_DELIVERIES, Webhook, WebhookId, WebhookSettings, WebhookState,
        Webhooks,
    },
};

const ALL: &str = endpoints!("ORDER BY id");

const LOCK: &str = endpoints!("WHERE id = ? FOR UPDATE");

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

/// An endpoint, which no other transaction changes until the end of this one.
pub(super) async fn lock(
    conn: &mut AsyncPgConnection,
    id: WebhookId,
) -> QueryResult<Option<Webhook>> {
    let row: Option<WebhookRow> = Prepared::new(LOCK)
        .bind::<SqlUuid, _>(id.0)
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.map(Webhook::from))
}

#[async_trait]
impl Webhooks for PostgresLedger {
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        let rows: Vec<WebhookRow> = Prepared::new(ALL)
            .load(&mut *self.pool.take().await?)
            .await?;
        Ok(rows.into_iter().map(Webhook::from).collect())
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
