//! `GET /api/service/events`: the events of a sale, for programs that ask.

use std::time::Duration;

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::access::Operator;
use crate::{
    events::{Event, Feed, FeedPage},
    http::{ApiError, ErrorCode, Parameters, Success},
    ids::SaleId,
};

/// The longest time that a request may wait, in seconds.
const MAX_WAIT_SECS: u64 = 30;

/// Events of a sale.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsBody {
    /// In the order of their numbers, without gaps, the first one right after `after`.
    #[schema(value_type = Vec<CloudEvent>)]
    events: Vec<Event>,
    /// The number of the last of these: `after` of the next request.
    #[schema(example = 42)]
    next: u64,
    /// The number of the sale's last event.
    #[schema(example = 42)]
    last: u64,
}

/// An event as CloudEvents 1.0 has it. docs/events has the schema of `data` for each type.
#[derive(ToSchema)]
#[allow(dead_code)] // the document's, of what `Event` writes
pub struct CloudEvent {
    #[schema(example = "1.0")]
    specversion: String,
    /// The same however often the event is delivered.
    #[schema(example = "5b8ae1a4-8c09-5a4f-8b8a-0f8a3f0c4f6e")]
    id: String,
    /// Which ledger it is from.
    #[schema(example = "urn:uuid:12345678-9abc-4def-8123-456789abcdef")]
    source: String,
    #[schema(example = "order.created")]
    r#type: String,
    #[schema(example = "sale/1/order/0198c5a0-0000-7000-8000-000000000001")]
    subject: String,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.123Z")]
    time: String,
    #[schema(example = "application/json")]
    datacontenttype: String,
    #[schema(example = "urn:flashsale:event:order.created:1")]
    dataschema: String,
    /// The number of the event within its sale, with leading zeros.
    #[schema(example = "00000000000000000042")]
    sequence: String,
    #[schema(value_type = Object)]
    data: (),
}

impl From<FeedPage> for EventsBody {
    fn from(page: FeedPage) -> Self {
        Self {
            events: page.events,
            next: page.next,
            last: page.last,
        }
    }
}

/// The events of a sale after a number.
///
/// Numbers are per sale, from 1, without gaps. Ask with `after=0`, then with `next` of each answer. With `wait` the answer comes as
/// soon as there is an event, and empty after that time. `events_gone`: events after `after` were removed or never recorded;
/// `firstSequence` is the first that is kept.
#[utoipa::path(
    get, path = "/api/service/events", operation_id = "listEvents", tag = "Service", security(("bearer" = [])),
    params(
        ("saleId" = i64, Query, minimum = 1, description = "The sale", example = 1),
        ("after" = Option<u64>, Query, minimum = 0, description = "The number of the last event that you have; 0 if missing", example = 0),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many at most; 500 if missing", example = 500),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 30, description = "Seconds to wait for an event if there is none; 0 if missing", example = 0),
    ),
    responses((status = 200, description = "Some of them, and where the next ones begin.", body = Success<EventsBody>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    feed: Data<Feed>,
) -> Result<HttpResponse, ApiError> {
    let invalid = |message: &'static str| ApiError::saying(ErrorCode::ValidationFailed, message);
    let sale: Option<SaleId> = parameters.value("saleId")?;
    let sale = sale.ok_or_else(|| invalid("saleId is missing"))?;
    let after: Option<i64> = parameters.value("after")?;
    let after = u64::try_from(after.unwrap_or(0))
        .map_err(|_| invalid("after must be 0 or a positive integer"))?;
    let limit = parameters.limit(1..=1000, 500)?;
    let wait: Option<u64> = parameters.value("wait")?;
    let wait = wait.unwrap_or(0);
    if wait > MAX_WAIT_SECS {
        return Err(invalid(
            "wait must be a whole number of seconds from 0 to 30",
        ));
    }
    let page = feed.page(sale, after, limit, Duration::from_secs(wait));
    let body = EventsBody::from(page.await?);
    Ok(HttpResponse::Ok().json(Success::new(body)))
}
