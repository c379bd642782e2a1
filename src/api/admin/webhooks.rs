//! `/api/admin/webhooks`: endpoints that are sent events, their secrets and what became of each try.

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    super::access::Operator,
    body::{DeliveryBody, WebhookBody},
};
use crate::{
    events::webhooks::{NewWebhook, WebhookDesk},
    http::{ApiError, Document, ErrorCode, Parameters, PathId, Success},
    ids::SaleId,
    port::WebhookId,
    sale::forms::{ReasonForm, reason},
};

/// A new endpoint.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookForm {
    /// An https address that is not of a private network, unless the settings allow these.
    #[schema(value_type = String, required = true, max_length = 2000, example = "https://orders.shop.example/flashsale")]
    url: Option<String>,
    /// All types if missing.
    #[schema(example = json!(["order.created", "order.released"]))]
    types: Option<Vec<String>>,
    /// Of this sale alone; of all sales if missing.
    #[schema(minimum = 1, example = 1)]
    sale_id: Option<i64>,
    /// Events of one request at most; 1 if missing. With 1 a body is an event, with more an array of events.
    #[schema(minimum = 1, maximum = 100, example = 1)]
    max_batch: Option<u32>,
    /// Requests in a second at most; 10 if missing.
    #[schema(minimum = 1, maximum = 100, example = 10)]
    per_second: Option<u32>,
    /// For the action log; at most 500 characters.
    #[schema(max_length = 500, example = "the shop's order system")]
    reason: Option<String>,
}

/// How a secret is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotateForm {
    /// Hours for which deliveries are signed with the secret before, too; 24 if missing.
    #[schema(minimum = 0, maximum = 168, example = 24)]
    overlap_hours: Option<u32>,
    /// For the action log; at most 500 characters.
    #[schema(max_length = 500, example = "once a year")]
    reason: Option<String>,
}

/// What is to be sent again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayForm {
    #[schema(value_type = i64, required = true, minimum = 1, example = 1)]
    sale_id: Option<i64>,
    /// The number after which events are sent; 0: all that are kept.
    #[schema(value_type = u64, required = true, minimum = 0, example = 0)]
    after: Option<u64>,
    /// For the action log; at most 500 characters.
    #[schema(max_length = 500, example = "the order system lost an hour")]
    reason: Option<String>,
}

/// Endpoints of webhooks.
///
/// By their ids, at most 50. Nothing of their secrets.
#[utoipa::path(
    get, path = "/api/admin/webhooks", operation_id = "listWebhooks", tag = "Operators", security(("bearer" = [])),
    responses((status = 200, description = "All of them.", body = Success<Vec<WebhookBody>>))
)]
pub async fn list(_: Operator, desk: Data<WebhookDesk>) -> Result<HttpResponse, ApiError> {
    let all = desk.list().await?;
    let bodies: Vec<_> = all.iter().map(|one| WebhookBody::of(one, false)).collect();
    Ok(HttpResponse::Ok().json(Success::new(bodies)))
}

/// Add an endpoint.
///
/// It is sent what happens from now on. The secret is in the answer, and is shown nowhere else.
#[utoipa::path(
    post, path = "/api/admin/webhooks", operation_id = "addWebhook", tag = "Operators", security(("bearer" = [])),
    request_body(content = WebhookForm),
    responses((status = 201, description = "The endpoint, with its secret.", body = Success<WebhookBody>))
)]
pub async fn add(
    operator: Operator,
    form: Document<WebhookForm>,
    desk: Data<WebhookDesk>,
) -> Result<HttpResponse, ApiError> {
    let form = form.value;
    let entry = operator.entry(reason(form.reason)?, None);
    let new = NewWebhook {
        url: form.url.ok_or_else(|| invalid("url is required"))?,
        types: form.types.unwrap_or_default(),
        sale: form.sale_id.map(sale).transpose()?,
        max_batch: form.max_batch,
        per_second: form.per_second,
    };
    let added = desk.add(new, &entry).await?;
    Ok(HttpResponse::Created().json(Success::new(WebhookBody::of(&added, true))))
}

/// Remove an endpoint.
///
/// With its tries and its positions.
#[utoipa::path(
    delete, path = "/api/admin/webhooks/{webhookId}", operation_id = "removeWebhook", tag = "Operators", security(("bearer" = [])),
    params(("webhookId" = String, Path, format = "uuid", example = "0198c5a0-0000-7000-8000-000000000001", description = "The endpoint's id")),
    request_body(content = Option<ReasonForm>),
    responses((status = 204, description = "It is gone."))
)]
pub async fn remove(
    operator: Operator,
    id: PathId<WebhookId>,
    form: Document<ReasonForm>,
    desk: Data<WebhookDesk>,
) -> Result<HttpResponse, ApiError> {
    let entry = operator.entry(form.value.checked()?, None);
    desk.remove(id.0, &entry).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Replace the secret of an endpoint.
///
/// The new one is in the answer, and is shown nowhere else. Deliveries have two signatures until the old one ends.
#[utoipa::path(
    post, path = "/api/admin/webhooks/{webhookId}/rotate", operation_id = "rotateWebhook", tag = "Operators", security(("bearer" = [])),
    params(("webhookId" = String, Path, format = "uuid", example = "0198c5a0-0000-7000-8000-000000000001", description = "The endpoint's id")),
    request_body(content = Option<RotateForm>),
    responses((status = 200, description = "The endpoint, with its new secret.", body = Success<WebhookBody>))
)]
pub async fn rotate(
    operator: Operator,
    id: PathId<WebhookId>,
    form: Document<RotateForm>,
    desk: Data<WebhookDesk>,
) -> Result<HttpResponse, ApiError> {
    let form = form.value;
    let entry = operator.entry(reason(form.reason)?, None);
    let hours = form.overlap_hours.unwrap_or(24);
    let rotated = desk.rotate(id.0, hours, &entry).await?;
    Ok(HttpResponse::Ok().json(Success::new(WebhookBody::of(&rotated, true))))
}

/// Send events again.
///
/// The events of a sale after a number. `events_gone`: the next event is not kept, and `firstSequence` is the first that is. The endpoint
/// is enabled, and tried at once.
#[utoipa::path(
    post, path = "/api/admin/webhooks/{webhookId}/replay", operation_id = "replayWebhook", tag = "Operators", security(("bearer" = [])),
    params(("webhookId" = String, Path, format = "uuid", example = "0198c5a0-0000-7000-8000-000000000001", description = "The endpoint's id")),
    request_body(content = ReplayForm),
    responses((status = 200, description = "The endpoint.", body = Success<WebhookBody>))
)]
pub async fn replay(
    operator: Operator,
    id: PathId<WebhookId>,
    form: Document<ReplayForm>,
    desk: Data<WebhookDesk>,
) -> Result<HttpResponse, ApiError> {
    let form = form.value;
    let entry = operator.entry(reason(form.reason)?, None);
    let of = form.sale_id.ok_or_else(|| invalid("saleId is required"))?;
    let after = form.after.ok_or_else(|| invalid("after is required"))?;
    let replayed = desk.replay(id.0, sale(of)?, after, &entry).await?;
    Ok(HttpResponse::Ok().json(Success::new(WebhookBody::of(&replayed, false))))
}

/// The last tries to send to an endpoint.
///
/// The newest first. The last 1,000 are kept.
#[utoipa::path(
    get, path = "/api/admin/webhooks/{webhookId}/deliveries", operation_id = "listDeliveries", tag = "Operators", security(("bearer" = [])),
    params(
        ("webhookId" = String, Path, format = "uuid", example = "0198c5a0-0000-7000-8000-000000000001", description = "The endpoint's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many at most; 50 if missing", example = 50),
    ),
    responses((status = 200, description = "Some of them.", body = Success<Vec<DeliveryBody>>))
)]
pub async fn deliveries(
    _: Operator,
    id: PathId<WebhookId>,
    parameters: Parameters,
    desk: Data<WebhookDesk>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=1000, 50)?;
    let tries = desk.deliveries(id.0, limit).await?;
    let bodies: Vec<_> = tries.into_iter().map(DeliveryBody::from).collect();
    Ok(HttpResponse::Ok().json(Success::new(bodies)))
}

fn sale(id: i64) -> Result<SaleId, ApiError> {
    SaleId::new(id).ok_or_else(|| invalid("saleId must be a positive integer"))
}

fn invalid(message: &'static str) -> ApiError {
    ApiError::saying(ErrorCode::ValidationFailed, message)
}
