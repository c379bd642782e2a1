//! `POST /api/admin/sales/{saleId}/publish`, `pause`, `resume`, `end`, `cancel` and `stock`: changes of a sale while it runs.

use actix_web::{HttpResponse, web::Data};

use super::{
    body::{SteeredBody, StockBody},
    once::{Call, Done, Stopped, Unfinished, once},
};
use crate::{
    http::{ApiError, Document, ErrorCode, PathId, Success},
    ids::SaleId,
    port::{AdminError, MovementMode, SaleChange},
    sale::{
        Shifted, Steered, Steering,
        forms::{ReasonForm, StockForm, Units},
    },
};

/// Publish a draft.
///
/// From then on it is public; it opens and ends by itself, by its times.
#[utoipa::path(
    post, path = "/api/admin/sales/{saleId}/publish", operation_id = "publishSale", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = Option<ReasonForm>),
    responses(
        (status = 200, description = "The gate decides by it.", body = Success<SteeredBody>, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 202, description = "It is changed in the ledger; the gate decides by it within two seconds.", body = Success<SteeredBody>,
            headers(("ETag" = String, description = "For `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn publish(
    call: Call,
    sale: PathId<SaleId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    change(&call, sale.0, form, &steering, SaleChange::Publish).await
}

/// Pause a sale.
///
/// From `appliedAt` on nobody is accepted, on any node; who was accepted before gets the unit. Shoppers are told 409 `paused`.
#[utoipa::path(
    post, path = "/api/admin/sales/{saleId}/pause", operation_id = "pauseSale", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = Option<ReasonForm>),
    responses(
        (status = 200, description = "The gate decides by it.", body = Success<SteeredBody>, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 202, description = "It is changed in the ledger; the gate decides by it within two seconds.", body = Success<SteeredBody>,
            headers(("ETag" = String, description = "For `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn pause(
    call: Call,
    sale: PathId<SaleId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    change(&call, sale.0, form, &steering, SaleChange::Pause).await
}

/// Let a paused sale go on.
///
/// From `appliedAt` on every node accepts again, within its window.
#[utoipa::path(
    post, path = "/api/admin/sales/{saleId}/resume", operation_id = "resumeSale", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = Option<ReasonForm>),
    responses(
        (status = 200, description = "The gate decides by it.", body = Success<SteeredBody>, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 202, description = "It is changed in the ledger; the gate decides by it within two seconds.", body = Success<SteeredBody>,
            headers(("ETag" = String, description = "For `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn resume(
    call: Call,
    sale: PathId<SaleId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    change(&call, sale.0, form, &steering, SaleChange::Resume).await
}

/// End a sale that is open now.
///
/// Its end is now. Who was accepted before gets the unit.
#[utoipa::path(
    post, path = "/api/admin/sales/{saleId}/end", operation_id = "endSale", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = Option<ReasonForm>),
    responses(
        (status = 200, description = "The gate decides by it.", body = Success<SteeredBody>, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 202, description = "It is changed in the ledger; the gate decides by it within two seconds.", body = Success<SteeredBody>,
            headers(("ETag" = String, description = "For `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn end(
    call: Call,
    sale: PathId<SaleId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    change(&call, sale.0, form, &steering, SaleChange::End).await
}

/// Cancel a sale that has not ended, for good.
///
/// Its orders stand; they are cancelled one by one.
#[utoipa::path(
    post, path = "/api/admin/sales/{saleId}/cancel", operation_id = "cancelSale", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = Option<ReasonForm>),
    responses(
        (status = 200, description = "The gate decides by it.", body = Success<SteeredBody>, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 202, description = "It is changed in the ledger; the gate decides by it within two seconds.", body = Success<SteeredBody>,
            headers(("ETag" = String, description = "For `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn cancel(
    call: Call,
    sale: PathId<SaleId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    change(&call, sale.0, form, &steering, SaleChange::Cancel).await
}

/// Add units to a sale, or take units away.
///
/// Units that somebody holds are never taken away. `mode` says what happens if fewer are available: with `exact` nothing (409
/// `below_sold`), with `upTo` as many as there are are taken.
#[utoipa::path(
    post, path = "/api/admin/sales/{saleId}/stock", operation_id = "changeStock", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "The change is made once for each key", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body = StockForm,
    responses(
        (status = 200, description = "It is done.", body = Success<StockBody>, headers(("ETag" = String, description = "The sale's, for `If-Match`"))),
        (status = 202, description = "It is noted in the ledger, and done within two seconds once the gate has the sale.", body = Success<StockBody>,
            headers(("ETag" = String, description = "The sale's, for `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn stock(
    call: Call,
    sale: PathId<SaleId>,
    form: Document<StockForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let (units, reason) = form.value.checked()?;
    let entry = call.entry_with_key(reason, &form.bytes)?;
    let make = async || shifted(&steering, steering.shift(sale.0, units, &entry).await?).await;
    once(&steering, &call, &entry, make, async |unfinished| {
        let found = match unfinished {
            Unfinished::Withdrawal(movement) => steering.withdraw(movement).await?,
            // Nothing had to be changed, unless it is noted.
            Unfinished::Sale { units: done, .. } => settled(&steering, sale.0, units, done).await?,
            _ => settled(&steering, sale.0, units, 0).await?,
        };
        shifted(&steering, found).await
    })
    .await
}

/// A change of units that the ledger has made: it is left to bring it to the gate. Units of a draft are in the ledger alone.
async fn settled(
    steering: &Steering,
    sale: SaleId,
    units: Units,
    done: i64,
) -> Result<Shifted, AdminError> {
    let (requested, mode, done) = match units {
        Units::Add(units) => (units.into(), MovementMode::Exact, units.into()),
        Units::Withdraw(units, mode) => (-i64::from(units), mode, done),
    };
    let steered = steering.settle_terms(sale).await?;
    Ok(Shifted {
        sale: steered.sale,
        requested,
        mode,
        done: Some(done),
        applied: steered.applied,
    })
}

async fn shifted(steering: &Steering, shifted: Shifted) -> Result<Done, Stopped> {
    if shifted.is_refused() {
        return Ok(Done::refused(&ErrorCode::BelowSold.into()));
    }
    let balance = steering.balance(&shifted.sale).await;
    let body = StockBody::of(&shifted, balance);
    Ok(Done::of(body.complete, body))
}

async fn change(
    call: &Call,
    sale: SaleId,
    form: Document<ReasonForm>,
    steering: &Steering,
    change: SaleChange,
) -> Result<HttpResponse, ApiError> {
    let reason = form.value.checked()?;
    let entry = call.entry(reason, &form.bytes);
    let done = async |steered: Steered| Ok(Done::steered(&steered, steering.now().await));
    once(
        steering,
        call,
        &entry,
        async || done(steering.change(sale, &change, &entry).await?).await,
        async |_| done(steering.settle_terms(sale).await?).await,
    )
    .await
}
