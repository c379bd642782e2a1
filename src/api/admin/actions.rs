//! `/api/admin/actions`: the action log.

use actix_web::{HttpResponse, web::Data};

use super::{
    super::access::Operator,
    body::{ActionBody, Page},
};
use crate::{
    http::{ApiError, ErrorCode, Parameters, Success},
    port::ActionId,
    sale::Steering,
};

/// What operators did, the newest first.
///
/// Entries are never changed; `flashsale audit` checks that. A statement that somebody writes by hand leaves none.
#[utoipa::path(
    get, path = "/api/admin/actions", operation_id = "listActions", tag = "Operators", security(("bearer" = [])),
    params(
        ("sale" = Option<i64>, Query, minimum = 1, description = "Of this sale only", example = 1),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 if missing", example = 50),
        ("after" = Option<i64>, Query, minimum = 1, description = "`next` of the page before", example = 17),
    ),
    responses((status = 200, description = "Some of them, and where the next ones begin.", body = Success<Page<ActionBody>>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=500, 50)?;
    let sale = parameters.value("sale")?;
    let after = parameters.text("after").map(|text| {
        let id = text.parse().ok().filter(|id| *id > 0).map(ActionId);
        id.ok_or_else(|| {
            let message = "after must be a positive integer";
            ApiError::saying(ErrorCode::ValidationFailed, message)
        })
    });
    let actions = steering.admin.actions(sale, after.transpose()?, limit + 1);
    let page = Page::of(
        actions.await?,
        limit,
        |last| last.id.0.to_string(),
        ActionBody::from,
    );
    Ok(HttpResponse::Ok().json(Success::new(page)))
}
