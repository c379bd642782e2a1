//! `GET /api/flash-sale/status`.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::shopper::Bearer;
use crate::{
    http::{ApiError, ErrorCode, Success, timestamp},
    sale::{CatalogCalls, SaleCatalog, SaleStatus, SaleView},
};

/// The sale to look at: the active one, else the next, else the last.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SaleBody {
    #[schema(example = 1)]
    id: i64,
    status: StatusName,
    #[schema(format = DateTime, example = "2024-01-01T00:00:00.000Z")]
    start_time: String,
    #[schema(format = DateTime, example = "2024-01-01T23:59:59.000Z")]
    end_time: String,
    #[schema(format = DateTime, example = "2024-01-01T12:00:00.000Z")]
    current_time: String,
    #[schema(example = 1)]
    product_id: i64,
    #[schema(example = "Premium Smartphone")]
    product_name: String,
    #[schema(example = "Latest model smartphone with advanced features")]
    product_description: String,
    #[schema(example = 1000)]
    initial_stock: u64,
    /// Units that can be bought, as of a moment ago.
    #[schema(example = 640)]
    remaining_stock: u64,
}

/// Where a sale stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "active")]
pub enum StatusName {
    Upcoming,
    Active,
    Ended,
}

impl From<SaleStatus> for StatusName {
    fn from(status: SaleStatus) -> Self {
        match status {
            SaleStatus::Upcoming => Self::Upcoming,
            SaleStatus::Active => Self::Active,
            SaleStatus::Ended => Self::Ended,
        }
    }
}

impl From<SaleView> for SaleBody {
    fn from(sale: SaleView) -> Self {
        Self {
            id: sale.id.value(),
            status: sale.status.into(),
            start_time: timestamp(sale.start),
            end_time: timestamp(sale.end),
            current_time: timestamp(sale.now),
            product_id: sale.product.value(),
            product_name: sale.product_name,
            product_description: sale.product_description,
            initial_stock: sale.initial_stock,
            remaining_stock: sale.remaining_stock,
        }
    }
}

/// The current flash sale with its product and stock.
///
/// Its times are those of the server: `currentTime` lets a page count down without a clock of its own.
#[utoipa::path(
    get, path = "/api/flash-sale/status", operation_id = "saleStatus", tag = "Flash sale", security(("bearer" = [])),
    responses((status = 200, description = "The active sale; else the next to start; else the last that ended.",
        body = Success<SaleBody>))
)]
pub async fn status(
    _: Bearer,
    catalog: Data<SaleCatalog>,
    calls: Data<CatalogCalls>,
) -> Result<HttpResponse, ApiError> {
    let mut sale = catalog.current();
    // The first one may have been made a moment ago.
    if sale.is_none() && calls.read_again().await {
        sale = catalog.current();
    }
    let sale = sale.ok_or(ErrorCode::SaleNotFound)?;
    Ok(HttpResponse::Ok().json(Success::new(SaleBody::from(sale))))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::ids::{ProductId, SaleId};

    #[test]
    fn a_sale_is_shown_as_the_original_shows_it_and_with_its_stock() {
        let at = |millis: i64| DateTime::from_timestamp_millis(1_704_067_200_000 + millis).unwrap();
        let sale = SaleView {
            id: SaleId::new(1).unwrap(),
            status: SaleStatus::Active,
            start: at(0),
            end: at(86_399_000),
            now: at(43_200_007),
            product: ProductId::new(2).unwrap(),
            product_name: "Phone".to_owned(),
            product_description: "New".to_owned(),
            initial_stock: 10,
            remaining_stock: 3,
        };
        let body = serde_json::to_string(&Success::new(SaleBody::from(sale))).unwrap();
        assert_eq!(
            body,
            r#"{"success":true,"data":{"id":1,"status":"active","startTime":"2024-01-01T00:00:00.000Z","endTime":"2024-01-01T23:59:59.000Z","currentTime":"2024-01-01T12:00:00.007Z","productId":2,"productName":"Phone","productDescription":"New","initialStock":10,"remainingStock":3}}"#
        );
    }
}
