//! `POST /api/flash-sale/attempt/{saleId}` and `GET /api/orders/status/{productId}`.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::shopper::Shopper;
use crate::{
    http::{ApiError, Client, ErrorCode, PathId, Success},
    ids::{ProductId, SaleId},
    order::{Accepted, AttemptLimit, Purchase, ReplyQueue, Results},
    port::{PurchaseResult, Standing},
};

const ACCEPTED: &str = "Your purchase attempt has been received and is being processed.";
const BOUGHT: &str = "You have already purchased this item.";

/// An accepted attempt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptBody {
    /// Stays the same however often the shopper asks.
    #[schema(format = "uuid", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")]
    attempt_id: String,
    status: AttemptStatus,
}

/// How far an attempt has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(example = "PENDING")]
pub enum AttemptStatus {
    /// It counts; the order is being made.
    Pending,
    /// The order stands.
    Success,
}

/// A shopper's result for a product.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultBody {
    #[schema(example = 1)]
    product_id: i64,
    #[schema(example = "2")]
    user_id: String,
    status: ResultStatus,
}

/// What became of a purchase.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(example = "SUCCESS")]
pub enum ResultStatus {
    Success,
    Failed,
}

impl From<PurchaseResult> for ResultStatus {
    fn from(result: PurchaseResult) -> Self {
        match result {
            PurchaseResult::Success => Self::Success,
            PurchaseResult::Failed => Self::Failed,
        }
    }
}

impl From<Accepted> for Success<AttemptBody> {
    fn from(accepted: Accepted) -> Self {
        let (message, status) = match accepted.standing {
            Standing::Pending => (ACCEPTED, AttemptStatus::Pending),
            Standing::Success => (BOUGHT, AttemptStatus::Success),
        };
        Self::with_message(
            message,
            AttemptBody {
                attempt_id: accepted.attempt.to_string(),
                status,
            },
        )
    }
}

/// Attempt to purchase an item in a flash sale.
///
/// The shopper is the token's; a body is not read. Pressing again is safe: one shopper has one attempt in a sale.
#[utoipa::path(
    post, path = "/api/flash-sale/attempt/{saleId}", operation_id = "attemptPurchase", tag = "Flash sale", security(("bearer" = [])),
    params(("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id")),
    responses((status = 200, body = Success<AttemptBody>,
        description = "The attempt counts. Asked again, it is the same attempt, PENDING until its order stands."))
)]
pub async fn attempt(
    shopper: Shopper,
    sale: PathId<SaleId>,
    client: Client,
    limit: Data<AttemptLimit>,
    purchase: Data<Purchase>,
    replies: Data<ReplyQueue>,
) -> Result<HttpResponse, ApiError> {
    limit
        .check(shopper.0, client.0)
        .inspect_err(|_| purchase.counts().count_limited())?;
    let outcome = purchase.attempt(&replies, shopper.0, sale.0).await;
    let accepted = outcome
        .map_err(|refusal| ApiError::of_attempt(refusal, sale.0, || purchase.times_of(sale.0)))?;
    Ok(HttpResponse::Ok().json(Success::from(accepted)))
}

/// The shopper's result for a product.
///
/// 400 `result_not_found` until the attempt is settled, mostly within a second.
#[utoipa::path(
    get, path = "/api/orders/status/{productId}", operation_id = "orderStatus", tag = "Orders", security(("bearer" = [])),
    params(("productId" = i64, Path, minimum = 1, example = 1, description = "The product's id")),
    responses((status = 200, description = "The purchase succeeded, or failed.", body = Success<ResultBody>))
)]
pub async fn status(
    shopper: Shopper,
    product: PathId<ProductId>,
    results: Data<Results>,
    replies: Data<ReplyQueue>,
) -> Result<HttpResponse, ApiError> {
    let result = results
        .of(&replies, shopper.0, product.0)
        .await?
        .ok_or(ErrorCode::ResultNotFound)?;
    let body = ResultBody {
        product_id: product.0.value(),
        user_id: shopper.0.to_string(),
        status: result.into(),
    };
    Ok(HttpResponse::Ok().json(Success::new(body)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::AttemptId;

    #[test]
    fn an_attempt_is_told_how_far_it_has_come() {
        let told = |standing| {
            let accepted = Accepted {
                attempt: AttemptId(Uuid::nil()),
                standing,
            };
            serde_json::to_string(&Success::from(accepted)).unwrap()
        };
        assert_eq!(
            told(Standing::Pending),
            r#"{"success":true,"message":"Your purchase attempt has been received and is being processed.","data":{"attemptId":"00000000-0000-0000-0000-000000000000","status":"PENDING"}}"#
        );
        assert_eq!(
            told(Standing::Success),
            r#"{"success":true,"message":"You have already purchased this item.","data":{"attemptId":"00000000-0000-0000-0000-000000000000","status":"SUCCESS"}}"#
        );
    }

    #[test]
    fn results_are_told_in_the_originals_words() {
        let told = |result: PurchaseResult| {
            let body = ResultBody {
                product_id: 1,
                user_id: "2".to_owned(),
                status: result.into(),
            };
            serde_json::to_string(&Success::new(body)).unwrap()
        };
        assert_eq!(
            told(PurchaseResult::Success),
            r#"{"success":true,"data":{"productId":1,"userId":"2","status":"SUCCESS"}}"#
        );
        assert!(told(PurchaseResult::Failed).contains(r#""status":"FAILED""#));
    }
}
