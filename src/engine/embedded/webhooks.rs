//! Endpoints of webhooks in the data file as a sender reads them, and the tries to send them events.

use async_trait::async_trait;
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text},
};
use uuid::Uuid;

use super::{
    Prepared, SqliteLedger,
    values::{millis, time},
};
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

const FIND: &str = endpoints!("WHERE id = ?");

const COUNT: &str = "UPDATE webhook_endpoints SET deliveries = deliveries + 1 WHERE id = ?";

/// Stores a delivery. `webhook_deliveries` is a ring buffer for each endpoint, with [`MAX_DELIVERIES`] places: delivery number
/// `deliveries` replaces the one that was stored in the place `deliveries % MAX_DELIVERIES`. So no statement has to remove old
/// rows.
const NOTE: &str = "
    INSERT OR REPLACE INTO webhook_deliveries
        (endpoint_id, place, number, message_id, flash_sale_id, first_seq, last_seq, attempted_at, duration_ms, status, error)
    SELECT id, deliveries % ?, deliveries, ?, ?, ?, ?, ?, ?, ?, ? FROM webhook_endpoints WHERE id = ?";

#[derive(QueryableByName)]
struct WebhookRow {
    #[diesel(sql_type = Text)]
    id: String,
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
    #[diesel(sql_type = Nullable<BigInt>)]
    previous_until: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    disabled_cause: Option<String>,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    next_attempt_at: Option<i64>,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
}

#[derive(QueryableByName)]
struct DeliveryRow {
    #[diesel(sql_type = Text)]
    message_id: String,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    first_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    attempted_at: i64,
    #[diesel(sql_type = BigInt)]
    duration_ms: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
}

impl WebhookRow {
    fn webhook(self) -> Option<Webhook> {
        Some(Webhook {
            id: WebhookId(Uuid::parse_str(&self.id).ok()?),
            settings: WebhookSettings {
                url: self.url,
                types: types_from_sql(&self.types),
                sale: self.flash_sale_id.and_then(SaleId::new),
                max_batch: count(self.max_batch),
                per_second: count(self.per_second),
            },
            secret: self.secret,
            previous_secret: self.previous_secret.zip(self.previous_until.map(time)),
            state: WebhookState {
                disabled: self.disabled_cause,
                failures: count(self.failures),
                next_attempt_at: self.next_attempt_at.map(time),
            },
            created_at: time(self.created_at),
        })
    }
}

impl DeliveryRow {
    fn delivery(self) -> Option<Delivery> {
        Some(Delivery {
            message: Uuid::parse_str(&self.message_id).ok()?,
            sale: SaleId::new(self.flash_sale_id)?,
            first: number(self.first_seq),
            last: number(self.last_seq),
            at: time(self.attempted_at),
            duration_ms: number(self.duration_ms),
            status: self.status.and_then(|status| u16::try_from(status).ok()),
            error: self.error,
        })
    }
}

pub(super) fn find(conn: &mut SqliteConnection, id: WebhookId) -> QueryResult<Option<Webhook>> {
    let row: Option<WebhookRow> = Prepared::new(FIND)
        .bind::<Text, _>(id.to_string())
        .get_result(conn)
        .optional()?;
    Ok(row.and_then(WebhookRow::webhook))
}

pub(super) fn set_state(
    conn: &mut SqliteConnection,
    id: WebhookId,
    state: &WebhookState,
) -> QueryResult<bool> {
    let changed = Prepared::new(SET_STATE)
        .bind::<Nullable<Text>, _>(state.disabled.clone())
        .bind::<Integer, _>(to_integer(state.failures))
        .bind::<Nullable<BigInt>, _>(state.next_attempt_at.map(millis))
        .bind::<Text, _>(id.to_string())
        .execute(conn)?;
    Ok(changed == 1)
}

fn note(conn: &mut SqliteConnection, id: WebhookId, delivery: &Delivery) -> QueryResult<()> {
    Prepared::new(COUNT)
        .bind::<Text, _>(id.to_string())
        .execute(conn)?;
    Prepared::new(NOTE)
        .bind::<Integer, _>(to_integer(MAX_DELIVERIES))
        .bind::<Text, _>(delivery.message.to_string())
        .bind::<BigInt, _>(delivery.sale.value())
        .bind::<BigInt, _>(to_bigint(delivery.first))
        .bind::<BigInt, _>(to_bigint(delivery.last))
        .bind::<BigInt, _>(millis(delivery.at))
        .bind::<BigInt, _>(to_bigint(delivery.duration_ms))
        .bind::<Nullable<Integer>, _>(delivery.status.map(i32::from))
        .bind::<Nullable<Text>, _>(
            delivery
                .error
                .as_ref()
                .map(|error| error.replace('\0', " ")),
        )
        .bind::<Text, _>(id.to_string())
        .execute(conn)
        .map(drop)
}

#[async_trait]
impl Webhooks for SqliteLedger {
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        let read = |conn: &mut SqliteConnection| Prepared::new(ALL).load::<WebhookRow>(conn);
        let rows = self.store.read(read).await?;
        Ok(rows.into_iter().filter_map(WebhookRow::webhook).collect())
    }

    async fn set_webhook_state(
        &self,
        id: WebhookId,
        state: &WebhookState,
    ) -> Result<(), LedgerError> {
        let state = state.clone();
        self.write(move |conn| set_state(conn, id, &state).map(drop))
            .await
    }

    async fn note_delivery(&self, id: WebhookId, delivery: &Delivery) -> Result<(), LedgerError> {
        let delivery = delivery.clone();
        self.write(move |conn| note(conn, id, &delivery)).await
    }

    async fn deliveries(&self, id: WebhookId, limit: u32) -> Result<Vec<Delivery>, LedgerError> {
        let read = move |conn: &mut SqliteConnection| {
            Prepared::new(DELIVERIES)
                .bind::<Text, _>(id.to_string())
                .bind::<BigInt, _>(i64::from(limit))
                .load::<DeliveryRow>(conn)
        };
        let rows = self.store.read(read).await?;
        Ok(rows.into_iter().filter_map(DeliveryRow::delivery).collect())
    }
}
