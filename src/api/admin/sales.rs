//! `/api/admin/sales`: making, reading and editing sales.

use actix_web::{HttpResponse, http::StatusCode, web::Data};

use super::{
    super::access::Operator,
    body::{BalanceBody, Page, SaleBody, SaleDetailBody, SteeredBody},
    once::{Call, Done, Unfinished, once, with_version},
    version::expected,
};
use crate::{
    http::{ApiError, Document, ErrorCode, IfMatch, Parameters, PathId, Success},
    ids::SaleId,
    port::{NewSale, SaleChange, SaleRecord},
    sale::{
        Steering,
        forms::{SaleForm, SalePatch, reason},
    },
};

/// Make a sale, as a draft.
///
/// Shoppers see it once it is published.
#[utoipa::path(
    post, path = "/api/admin/sales", operation_id = "createSale", tag = "Operators", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324")),
    request_body = SaleForm,
    responses((status = 201, description = "The draft.", body = Success<SaleBody>,
        headers(("ETag" = String, description = "For `If-Match`"), ("Location" = String, description = "Its path"))))
)]
pub async fn create(
    call: Call,
    mut form: Document<SaleForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let reason = reason(form.value.reason.take())?;
    let sale = NewSale::try_from(form.value)?;
    let entry = call.entry(reason, &form.bytes);
    let now = steering.now().await;
    let made = |sale: &SaleRecord| Done::new(StatusCode::CREATED, SaleBody::of(sale, now));
    once(
        &steering,
        &call,
        &entry,
        async || Ok(made(&steering.admin.create_sale(&sale, &entry).await?)),
        async |unfinished| match unfinished {
            Unfinished::Sale { id, .. } => Ok(made(&steering.record(id).await?)),
            _ => Err(ApiError::from(ErrorCode::RequestInProgress).into()),
        },
    )
    .await
}

/// List sales, the newest first.
///
/// Drafts and cancelled ones as well.
#[utoipa::path(
    get, path = "/api/admin/sales", operation_id = "listSales", tag = "Operators", security(("bearer" = [])),
    params(
        ("product" = Option<i64>, Query, minimum = 1, description = "Of this product only", example = 1),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 if missing", example = 50),
        ("after" = Option<i64>, Query, minimum = 1, description = "`next` of the page before", example = 50),
    ),
    responses((status = 200, description = "Some of them, and where the next ones begin.", body = Success<Page<SaleBody>>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=500, 50)?;
    let (product, after) = (parameters.value("product")?, parameters.value("after")?);
    let sales = steering.admin.sale_records(product, after, limit + 1);
    let (sales, now) = (sales.await?, steering.now().await);
    let page = Page::of(
        sales,
        limit,
        |last| last.id.to_string(),
        |sale| SaleBody::of(&sale, now),
    );
    Ok(HttpResponse::Ok().json(Success::new(page)))
}

/// A sale with its balance.
///
/// Its `ETag` is needed to change it.
#[utoipa::path(
    get, path = "/api/admin/sales/{saleId}", operation_id = "showSale", tag = "Operators", security(("bearer" = [])),
    params(("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id")),
    responses((status = 200, description = "The sale.", body = Success<SaleDetailBody>, headers(("ETag" = String, description = "For `If-Match`"))))
)]
pub async fn show(
    _: Operator,
    sale: PathId<SaleId>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let record = steering.record(sale.0).await?;
    let balance = steering.balance(&record).await;
    let body = SaleDetailBody::of(&record, balance);
    Ok(with_version(record.version, body))
}

/// Where the units of a sale are.
///
/// `total = available + pending + held + sold + withdrawn`, at one moment.
#[utoipa::path(
    get, path = "/api/admin/sales/{saleId}/balance", operation_id = "saleBalance", tag = "Operators", security(("bearer" = [])),
    params(("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id")),
    responses((status = 200, description = "Its balance.", body = Success<BalanceBody>))
)]
pub async fn balance(
    _: Operator,
    sale: PathId<SaleId>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let record = steering.record(sale.0).await?;
    let balance = steering.balance(&record).await;
    Ok(HttpResponse::Ok().json(Success::new(BalanceBody::from(balance))))
}

/// Change fields of a sale.
///
/// Of a draft all may change, of a scheduled sale its times and note, of an open one its end and its note, of one that has ended or was
/// cancelled its note.
#[utoipa::path(
    patch, path = "/api/admin/sales/{saleId}", operation_id = "editSale", tag = "Operators", security(("bearer" = [])),
    params(
        ("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id"),
        ("If-Match" = String, Header, pattern = "^\"v[0-9]{1,18}\"$", description = "The `ETag` that was read", example = "\"v1\""),
    ),
    request_body = SalePatch,
    responses(
        (status = 200, description = "The gate decides by it.", body = Success<SteeredBody>, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 202, description = "It is changed in the ledger; the gate decides by it within two seconds.", body = Success<SteeredBody>,
            headers(("ETag" = String, description = "For `If-Match`"), ("Retry-After" = u32, description = "Seconds"))),
    )
)]
pub async fn edit(
    call: Call,
    sale: PathId<SaleId>,
    seen: IfMatch,
    mut patch: Document<SalePatch>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let current = async || Ok(steering.record(sale.0).await?.version);
    let expected = expected(&seen, current).await?;
    let reason = reason(patch.value.reason.take())?;
    let change = SaleChange::Edit(patch.value.edit(expected)?);
    let entry = call.operator.entry(reason, None);
    let steered = steering.change(sale.0, &change, &entry).await?;
    Ok(Done::steered(&steered, steering.now().await).answer(""))
}
