//! `GET /api/orders/results`: what the first events of `GET /api/orders/events` say, for clients that poll.

use std::time::Duration;

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    events::{ResultEvent, result},
    shopper::Shopper,
};
use crate::{
    http::{ApiError, ErrorCode},
    push::{NotRead, ResultFeed, ShopperState},
};

/// `Retry-After` when too many reads of one shopper's results run at once.
const TOO_MANY: Duration = Duration::from_secs(2);

/// A shopper's results.
#[derive(Serialize, ToSchema)]
pub struct ResultsBody {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    data: Vec<ResultEvent>,
    /// The ids of the sales that were read with certainty: in those of them without a result the shopper has no order.
    #[schema(example = json!([1, 2]))]
    sales: Vec<i64>,
}

impl From<ShopperState> for ResultsBody {
    fn from(state: ShopperState) -> Self {
        let results = state.results.iter();
        let told = results.map(|(sale, told)| result(*sale, told.product, told.result.into()));
        Self {
            success: true,
            data: told.collect(),
            sales: state.certain.iter().map(|sale| sale.value()).collect(),
        }
    }
}

/// The shopper's results of all sales.
///
/// For clients that cannot listen to `GET /api/orders/events`; it says the same as the first events there. `data` has an entry for
/// every sale of which the shopper has a result or holds a unit. Of sales that are neither there nor in `sales` nothing is known now.
#[utoipa::path(
    get, path = "/api/orders/results", operation_id = "orderResults", tag = "Orders", security(("bearer" = [])),
    responses((status = 200, description = "The results. Never cached.", body = ResultsBody))
)]
pub async fn show(shopper: Shopper, feed: Data<ResultFeed>) -> Result<HttpResponse, ApiError> {
    let state = feed
        .read_once(shopper.0)
        .await
        .map_err(|error| match error {
            NotRead::TooMany => ApiError::too_many(TOO_MANY),
            NotRead::TooLate => ErrorCode::Unavailable.into(),
        })?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(ResultsBody::from(state)))
}
