//! Endpoints of webhooks and tries to send to them, as operators see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::timestamp,
    ids::SaleId,
    port::{Delivery, Webhook},
};

/// An endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookBody {
    #[schema(example = "0198c5a0-0000-7000-8000-000000000001")]
    id: String,
    #[schema(example = "https://orders.shop.example/flashsale")]
    url: String,
    /// Empty: all types.
    #[schema(example = json!(["order.created", "order.released"]))]
    types: Vec<&'static str>,
    /// `null`: of all sales.
    #[schema(example = 1)]
    sale_id: Option<i64>,
    #[schema(example = 1)]
    max_batch: u32,
    #[schema(example = 10)]
    per_second: u32,
    /// Why nothing is sent; `null`: it is enabled.
    #[schema(example = "the endpoint answered 410 Gone")]
    disabled: Option<String>,
    /// Failed tries in a row.
    #[schema(example = 0)]
    failures: u32,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.000Z")]
    next_attempt_at: Option<String>,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.000Z")]
    created_at: String,
    /// Until when deliveries are signed with the secret before, too.
    #[schema(format = DateTime, example = "2030-11-30T12:00:00.000Z")]
    previous_secret_until: Option<String>,
    /// Shown once, in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: Option<String>,
}

/// One try to send events to an endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryBody {
    /// The header `webhook-id`.
    #[schema(example = "5b8ae1a4-8c09-5a4f-8b8a-0f8a3f0c4f6e")]
    message_id: String,
    #[schema(example = 1)]
    sale_id: i64,
    /// The numbers of the first and the last event that it covers.
    #[schema(example = 42)]
    first: u64,
    #[schema(example = 42)]
    last: u64,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.000Z")]
    at: String,
    #[schema(example = 35)]
    duration_ms: u64,
    /// Of the answer; `null`: there was none.
    #[schema(example = 204)]
    status: Option<u16>,
    /// `null`: it was accepted.
    #[schema(example = "the answer was 503")]
    error: Option<String>,
}

impl WebhookBody {
    /// With its secret, or without.
    #[must_use]
    pub fn of(webhook: &Webhook, with_secret: bool) -> Self {
        let (settings, state) = (&webhook.settings, &webhook.state);
        let until = webhook.previous_secret.as_ref().map(|(_, until)| *until);
        Self {
            id: webhook.id.to_string(),
            url: settings.url.clone(),
            types: settings.types.iter().map(|known| known.name()).collect(),
            sale_id: settings.sale.map(SaleId::value),
            max_batch: settings.max_batch,
            per_second: settings.per_second,
            disabled: state.disabled.clone(),
            failures: state.failures,
            next_attempt_at: state.next_attempt_at.map(timestamp),
            created_at: timestamp(webhook.created_at),
            previous_secret_until: until.map(timestamp),
            secret: with_secret.then(|| webhook.secret.clone()),
        }
    }
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        Self {
            message_id: delivery.message.to_string(),
            sale_id: delivery.sale.value(),
            first: delivery.first,
            last: delivery.last,
            at: timestamp(delivery.at),
            duration_ms: delivery.duration_ms,
            status: delivery.status,
            error: delivery.error,
        }
    }
}
