//! `GET /api/flash-sale/status`.

use std::cell::RefCell;

use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{Bytes, Data},
};
use chrono::{DateTime, Utc};
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

/// The latest answer, which is the same for all requests of one millisecond. Each thread has its own.
#[derive(Default)]
pub(super) struct LatestStatus(RefCell<Option<(i64, Bytes)>>);

impl LatestStatus {
    fn of(&self, now: DateTime<Utc>) -> Option<Bytes> {
        let latest = self.0.borrow();
        let (millis, body) = latest.as_ref()?;
        (*millis == now.timestamp_millis()).then(|| body.clone())
    }

    fn keep(&self, sale: SaleView) -> Result<Bytes, ApiError> {
        let millis = sale.now.timestamp_millis();
        let body = serde_json::to_vec(&Success::new(SaleBody::from(sale)));
        let body = Bytes::from(body.map_err(|_| ErrorCode::Internal)?);
        *self.0.borrow_mut() = Some((millis, body.clone()));
        Ok(body)
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
    latest: Data<LatestStatus>,
) -> Result<HttpResponse, ApiError> {
    let body = if let Some(body) = latest.of(catalog.now()) {
        body
    } else {
        let mut sale = catalog.current();
        // The first one may have been made a moment ago.
        if sale.is_none() && calls.read_again().await {
            sale = catalog.current();
        }
        latest.keep(sale.ok_or(ErrorCode::SaleNotFound)?)?
    };
    let json = ContentType::json();
    Ok(HttpResponse::Ok().content_type(json).body(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProductId, SaleId};

    fn view(millis: i64) -> SaleView {
        let at = |millis: i64| DateTime::from_timestamp_millis(1_704_067_200_000 + millis).unwrap();
        SaleView {
            id: SaleId::new(1).unwrap(),
            status: SaleStatus::Active,
            start: at(0),
            end: at(86_399_000),
            now: at(millis),
            product: ProductId::new(2).unwrap(),
            product_name: "Phone".to_owned(),
            product_description: "New".to_owned(),
            initial_stock: 10,
            remaining_stock: 3,
        }
    }

    #[test]
    fn a_sale_is_shown_as_the_original_shows_it_and_with_its_stock() {
        let body = serde_json::to_string(&Success::new(SaleBody::from(view(43_200_007)))).unwrap();
        assert_eq!(
            body,
            r#"{"success":true,"data":{"id":1,"status":"active","startTime":"2024-01-01T00:00:00.000Z","endTime":"2024-01-01T23:59:59.000Z","currentTime":"2024-01-01T12:00:00.007Z","productId":2,"productName":"Phone","productDescription":"New","initialStock":10,"remainingStock":3}}"#
        );
    }

    #[test]
    fn an_answer_is_given_again_in_its_millisecond_only() {
        let latest = LatestStatus::default();
        assert_eq!(latest.of(view(7).now), None);
        let body = latest.keep(view(7)).unwrap();
        let same = view(7).now + chrono::TimeDelta::microseconds(999);
        assert_eq!(latest.of(same), Some(body));
        assert_eq!(latest.of(view(8).now), None);
        assert_eq!(latest.of(view(6).now), None);
    }
}
