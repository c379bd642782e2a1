//! What everybody may see without a token, from memory: `GET /api/flash-sales`, `/api/flash-sales/{saleId}` and `/api/time`.

use std::hash::{DefaultHasher, Hasher};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, EntityTag, HeaderValue},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{ApiError, ErrorCode, PathId, Success, tagged, timestamp},
    ids::SaleId,
    sale::{PublicPhase, PublicSale, SaleCatalog, StockLevel},
};

/// A page may be a second old, as what is in memory may be.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// A sale with its product, as everybody sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicSaleBody {
    #[schema(example = 1)]
    id: i64,
    phase: PublicPhaseName,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.000Z")]
    start_time: String,
    #[schema(format = DateTime, example = "2030-11-29T14:00:00.000Z")]
    end_time: String,
    stock: StockName,
    product: PublicProductBody,
}

/// The product of a sale.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicProductBody {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "Trail shoe, black")]
    name: String,
    #[schema(example = "Waterproof, 280 g")]
    description: String,
    #[schema(example = "https://shop.example/shoe-7.jpg")]
    image_url: Option<String>,
    /// In the currency's smallest unit.
    #[schema(example = 9900)]
    price_cents: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// The price before the sale, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 14900)]
    prior_price_cents: Option<i64>,
}

/// Where a sale stands. `cancelled` is told of a sale that is asked for by its id; it is in no list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "open")]
pub enum PublicPhaseName {
    Scheduled,
    Open,
    Paused,
    Ended,
    Cancelled,
}

/// How much can be bought: `few` is at most a tenth of the sale's units, or 10.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "plenty")]
pub enum StockName {
    Plenty,
    Few,
    None,
}

/// The server's time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeBody {
    #[schema(format = DateTime, example = "2030-11-29T11:59:30.000Z")]
    now: String,
    /// Milliseconds since 1970.
    #[schema(example = 1_922_183_970_000_i64)]
    epoch_millis: i64,
}

/// The sales that are scheduled, open, paused, or ended a while ago, by their start.
///
/// Without a token. It may be cached for a second; with `If-None-Match` it is sent only if it is another one.
#[utoipa::path(
    get, path = "/api/flash-sales", operation_id = "publicSales", security(()), tag = "Public",
    responses(
        (status = 200, description = "All of them.", body = Success<Vec<PublicSaleBody>>, headers(("ETag" = String, description = "For `If-None-Match`"))),
        (status = 304, description = "It is the one that `If-None-Match` names."),
    )
)]
pub async fn sales(request: HttpRequest, catalog: Data<SaleCatalog>) -> HttpResponse {
    let sales = catalog.public_sales();
    let sales: Vec<_> = sales.into_iter().map(PublicSaleBody::from).collect();
    cacheable(&request, &Success::new(sales))
}

/// One sale.
///
/// Without a token. It may be cached for a second.
#[utoipa::path(
    get, path = "/api/flash-sales/{saleId}", operation_id = "publicSale", security(()), tag = "Public",
    params(("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id")),
    responses(
        (status = 200, description = "The sale.", body = Success<PublicSaleBody>, headers(("ETag" = String, description = "For `If-None-Match`"))),
        (status = 304, description = "It is the one that `If-None-Match` names."),
    )
)]
pub async fn sale(
    request: HttpRequest,
    sale: PathId<SaleId>,
    catalog: Data<SaleCatalog>,
) -> Result<HttpResponse, ApiError> {
    let sale = catalog.public_sale(sale.0).ok_or(ErrorCode::SaleNotFound)?;
    Ok(cacheable(
        &request,
        &Success::new(PublicSaleBody::from(sale)),
    ))
}

/// The time by which sales open and end.
///
/// A page that asks for it counts down to the right moment, whatever its own clock says.
#[utoipa::path(
    get, path = "/api/time", operation_id = "time", security(()), tag = "Public",
    responses((status = 200, description = "Never cached.", body = Success<TimeBody>))
)]
pub async fn time(catalog: Data<SaleCatalog>) -> HttpResponse {
    let now = catalog.now();
    HttpResponse::Ok().json(Success::new(TimeBody {
        now: timestamp(now),
        epoch_millis: now.timestamp_millis(),
    }))
}

/// The body with its tag, or 304 when the client has it already. The tag is the same on every node that says the same.
fn cacheable(request: &HttpRequest, body: &impl Serialize) -> HttpResponse {
    let body = serde_json::to_string(body).unwrap_or_default();
    let mut hash = DefaultHasher::new();
    hash.write(body.as_bytes());
    let tag = EntityTag::new_weak(format!("{:016x}", hash.finish()));
    let (mut answer, is_known) = tagged(request, tag);
    answer.insert_header((CACHE_CONTROL, CACHING));
    if is_known {
        return answer.finish();
    }
    answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(body)
}

impl From<PublicSale> for PublicSaleBody {
    fn from(sale: PublicSale) -> Self {
        Self {
            id: sale.id.value(),
            phase: match sale.phase {
                PublicPhase::Scheduled => PublicPhaseName::Scheduled,
                PublicPhase::Open => PublicPhaseName::Open,
                PublicPhase::Paused => PublicPhaseName::Paused,
                PublicPhase::Ended => PublicPhaseName::Ended,
                PublicPhase::Cancelled => PublicPhaseName::Cancelled,
            },
            start_time: timestamp(sale.window.start),
            end_time: timestamp(sale.window.end),
            stock: match sale.stock {
                StockLevel::Plenty => StockName::Plenty,
                StockLevel::Few => StockName::Few,
                StockLevel::None => StockName::None,
            },
            product: PublicProductBody {
                id: sale.product.value(),
                name: sale.product_name,
                description: sale.product_description,
                image_url: sale.offer.image_url,
                price_cents: sale.offer.price_cents,
                currency: sale.offer.currency,
                prior_price_cents: sale.offer.prior_price_cents,
            },
        }
    }
}
