//! `/api/admin/sales/{saleId}/orders`, as a page of JSON or whole as CSV and NDJSON, and `/api/admin/orders/{attemptId}/cancel`.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CONTENT_DISPOSITION, HeaderMap, HeaderValue},
    web::{Bytes, Data},
};
use chrono::DateTime;
use futures::{Stream, stream};

use super::{
    super::access::Operator,
    body::{CancelledOrderBody, OrderBody, Page},
    once::{Call, Done, Unfinished, once},
};
use crate::{
    http::{ApiError, Document, ErrorCode, Parameters, PathId, Success},
    ids::{AttemptId, SaleId},
    port::{AdminError, Administration, LedgerError, OrderEntry, OrderPage},
    sale::{CancelledOrder, Steering, forms::CancelOrderForm},
};

/// Orders that are read and sent at once: so many are in memory, however slowly a client reads.
const PART: u32 = 1_000;

/// How orders are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One page.
    Json,
    Csv,
    Ndjson,
}

/// Orders of a sale, by the time when they were made.
///
/// As JSON page by page. As CSV (`Accept: text/csv`, or `?format=csv`) and NDJSON (`application/x-ndjson`, `ndjson`) all of them,
/// streamed; a connection that is closed before the last chunk says that the ledger failed meanwhile.
#[utoipa::path(
    get, path = "/api/admin/sales/{saleId}/orders", operation_id = "listOrders", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("format" = Option<String>, Query, pattern = "^(json|csv|ndjson)$", description = "Instead of `Accept`", example = "json"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Of JSON: how many at most; 50 if missing", example = 50),
        ("after" = Option<String>, Query, pattern = "^[0-9]{1,17}\\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", description = "`next` of the page before"),
    ),
    responses((status = 200, description = "Some orders, or all.", content(
        (Success<Page<OrderBody>> = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))))
)]
pub async fn list(
    _: Operator,
    sale: PathId<SaleId>,
    parameters: Parameters,
    request: HttpRequest,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let format = format(&parameters, request.headers())?;
    let after = parameters.text("after").map(cursor).transpose()?;
    let limit = parameters.limit(1..=500, 50)?;
    steering.record(sale.0).await?;
    if format != Format::Json {
        return Ok(export(Arc::clone(&steering.admin), sale.0, format, after));
    }
    let orders = steering.admin.orders(sale.0, after.as_ref(), limit + 1);
    let page = Page::of(orders.await?, limit, cursor_of, OrderBody::from);
    Ok(HttpResponse::Ok().json(Success::new(page)))
}

/// Cancel an order.
///
/// The shopper may buy again, and is told so. With `restock` its unit goes on sale again; otherwise the sale has one unit less.
#[utoipa::path(
    post, path = "/api/admin/orders/{attemptId}/cancel", operation_id = "cancelOrder", tag = "Operators", security(("bearer" = [])),
    params(
        ("attemptId" = String, Path, format = "uuid", description = "The attempt that made the order", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body = CancelOrderForm,
    responses(
        (status = 200, description = "The gate has it, too.", body = Success<CancelledOrderBody>),
        (status = 202, description = "It is cancelled in the ledger; the gate has it within two seconds.", body = Success<CancelledOrderBody>,
            headers(("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn cancel(
    call: Call,
    attempt: PathId<AttemptId>,
    form: Document<CancelOrderForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let (restock, reason) = form.value.checked()?;
    let entry = call.entry(reason, &form.bytes);
    let done = |cancelled: CancelledOrder| {
        let body = CancelledOrderBody::from(cancelled);
        Ok(Done::of(body.applied, body))
    };
    once(
        &steering,
        &call,
        &entry,
        async || done(steering.cancel_order(attempt.0, restock, &entry).await?),
        async |unfinished| match unfinished {
            Unfinished::Order(attempt) => {
                let history = steering.admin.attempt(attempt).await?;
                let order = history.and_then(|history| history.order);
                let order = order.ok_or(AdminError::NotFound)?;
                let applied = steering.take_out(&order).await;
                done(CancelledOrder { order, applied })
            }
            _ => Err(ApiError::from(ErrorCode::RequestInProgress).into()),
        },
    )
    .await
}

fn format(parameters: &Parameters, headers: &HeaderMap) -> Result<Format, ApiError> {
    match parameters.text("format") {
        Some("json") => return Ok(Format::Json),
        Some("csv") => return Ok(Format::Csv),
        Some("ndjson") => return Ok(Format::Ndjson),
        Some(_) => {
            let message = "format must be json, csv or ndjson";
            return Err(ApiError::saying(ErrorCode::ValidationFailed, message));
        }
        None => {}
    }
    // The first that is known; nobody asks for two of them by rank.
    let accepted = headers.get_all(ACCEPT).map(HeaderValue::to_str);
    let accepted = accepted
        .filter_map(Result::ok)
        .flat_map(|line| line.split(','));
    let known =
        accepted.filter_map(
            |range| match range.split(';').next().unwrap_or_default().trim() {
                "application/json" => Some(Format::Json),
                "text/csv" => Some(Format::Csv),
                "application/x-ndjson" | "application/jsonl" => Some(Format::Ndjson),
                _ => None,
            },
        );
    Ok(known.into_iter().next().unwrap_or(Format::Json))
}

/// All orders behind `after`, part by part as the client reads. A ledger that fails ends the connection in the middle of its body,
/// which every client notices.
fn export(
    admin: Arc<dyn Administration>,
    sale: SaleId,
    format: Format,
    after: Option<OrderPage>,
) -> HttpResponse {
    let (content_type, head, name) = match format {
        Format::Csv => (
            "text/csv; charset=utf-8",
            format!("{}\r\n", OrderBody::CSV),
            "csv",
        ),
        Format::Json | Format::Ndjson => ("application/x-ndjson", String::new(), "ndjson"),
    };
    let file = format!("attachment; filename=\"orders-of-sale-{sale}.{name}\"");
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CONTENT_DISPOSITION, file))
        .streaming(parts(admin, sale, format, after, head))
}

/// What is to be read next; `None`: that was all.
type Next = Option<(Option<OrderPage>, String)>;

fn parts(
    admin: Arc<dyn Administration>,
    sale: SaleId,
    format: Format,
    after: Option<OrderPage>,
    head: String,
) -> impl Stream<Item = Result<Bytes, LedgerError>> {
    let first: Next = Some((after, head));
    stream::try_unfold(first, move |next| {
        let admin = Arc::clone(&admin);
        async move {
            let Some((after, mut text)) = next else {
                return Ok(None);
            };
            let orders = admin.orders(sale, after.as_ref(), PART).await;
            let orders = orders.inspect_err(|error| {
                tracing::error!(%sale, %error, "an export of orders was broken off");
            })?;
            let is_full = orders.len() >= PART as usize;
            let next = orders.last().filter(|_| is_full).map(page_of);
            for order in orders {
                let body = OrderBody::from(order);
                match format {
                    Format::Csv => text.push_str(&body.csv()),
                    Format::Json | Format::Ndjson => {
                        text.push_str(&serde_json::to_string(&body).unwrap_or_default());
                    }
                }
                text.push_str(if format == Format::Csv { "\r\n" } else { "\n" });
            }
            let next: Next = next.map(|page| (Some(page), String::new()));
            Ok(Some((Bytes::from(text), next)))
        }
    })
}

fn page_of(order: &OrderEntry) -> OrderPage {
    OrderPage {
        created_at: order.created_at,
        id: order.id,
    }
}

/// A page's end as text: microseconds since 1970, and the order's id.
fn cursor_of(order: &OrderEntry) -> String {
    format!("{}.{}", order.created_at.timestamp_micros(), order.id)
}

fn cursor(text: &str) -> Result<OrderPage, ApiError> {
    let page = || {
        let (micros, id) = text.split_once('.')?;
        Some(OrderPage {
            created_at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
            id: id.parse().ok()?,
        })
    };
    page().ok_or_else(|| {
        let message = "after must be `next` of the page before";
        ApiError::saying(ErrorCode::ValidationFailed, message)
    })
}
