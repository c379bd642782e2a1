//! `/api/admin/attempts/{attemptId}` and `/api/admin/users/{userId}/attempts`: what became of an attempt.

use actix_web::{HttpResponse, web::Data};

use super::{
    super::access::Operator,
    body::{AttemptBody, Page},
    users::UNKNOWN,
};
use crate::{
    http::{ApiError, ErrorCode, Parameters, PathId, Success},
    ids::{AttemptId, UserId},
    port::AccountStore,
    sale::{KnownAttempt, ReservedAttempt, Steering},
};

/// The history of an attempt: reserved, logged, settled, told.
///
/// Of one that no worker has settled yet, which takes a second at most times, the gate says that a unit is reserved.
#[utoipa::path(
    get, path = "/api/admin/attempts/{attemptId}", operation_id = "showAttempt", tag = "Operators", security(("bearer" = [])),
    params(("attemptId" = String, Path, format = "uuid", description = "As the shopper was told", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")),
    responses((status = 200, description = "Its history.", body = Success<AttemptBody>))
)]
pub async fn show(
    _: Operator,
    attempt: PathId<AttemptId>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let found = steering.attempt(attempt.0).await?;
    let body = match found {
        Some(KnownAttempt::Settled(history)) => {
            let (user, product, sale) = (history.user, history.product, history.sale);
            AttemptBody::of(*history, steering.told(user, product, sale).await)
        }
        Some(KnownAttempt::Reserved(reserved)) => {
            let ReservedAttempt { product, sale, .. } = reserved;
            let told = steering.told(reserved.entry.user, product, sale).await;
            AttemptBody::reserved(&reserved, told)
        }
        None => {
            let message = "No attempt that is settled or waits for it has this id.";
            return Err(ApiError::saying(ErrorCode::NotFound, message));
        }
    };
    Ok(HttpResponse::Ok().json(Success::new(body)))
}

/// A shopper's settled attempts, the newest first.
///
/// Also those that got no order.
#[utoipa::path(
    get, path = "/api/admin/users/{userId}/attempts", operation_id = "listAttempts", tag = "Operators", security(("bearer" = [])),
    params(
        ("userId" = i64, Path, minimum = 1, example = 2, description = "The shopper's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 if missing", example = 50),
        ("after" = Option<String>, Query, format = "uuid", description = "`next` of the page before"),
    ),
    responses((status = 200, description = "Some of their attempts, and where the next ones begin.", body = Success<Page<AttemptBody>>))
)]
pub async fn of_user(
    _: Operator,
    user: PathId<UserId>,
    parameters: Parameters,
    steering: Data<Steering>,
    accounts: Data<dyn AccountStore>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=500, 50)?;
    let after = parameters.text("after").map(|text| {
        text.parse::<AttemptId>().map_err(|_| {
            let message = "after must be `next` of the page before";
            ApiError::saying(ErrorCode::ValidationFailed, message)
        })
    });
    let attempts = steering
        .admin
        .attempts_of(user.0, after.transpose()?, limit + 1)
        .await?;
    // The attempts of an account that was deleted are kept.
    if attempts.is_empty() && accounts.account(user.0).await?.is_none() {
        return Err(ApiError::saying(ErrorCode::NotFound, UNKNOWN));
    }
    let page = Page::of(
        attempts,
        limit,
        |last| last.attempt.to_string(),
        |attempt| AttemptBody::of(attempt, None),
    );
    Ok(HttpResponse::Ok().json(Success::new(page)))
}
