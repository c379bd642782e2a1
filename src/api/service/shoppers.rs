//! `POST /api/service/shoppers`: accounts for subjects of the shop, many at a time.

use actix_web::{HttpResponse, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::{Auth, SUBJECT_RULE, is_subject},
    http::{ApiError, Bulk, ErrorCode, Success},
    ids::UserId,
};

pub(in crate::api) const PATH: &str = "/api/service/shoppers";

/// Most subjects of one request.
const MOST: usize = 10_000;

/// Subjects of the shop's issuer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShoppersForm {
    /// As the issuer's tokens have them in `sub`; for a guest, an id that the shop chooses. 1 to 255 characters each.
    #[schema(value_type = Vec<String>, required = true, min_items = 1, max_items = 10_000, example = json!(["customer-1042", "guest-7f3a"]))]
    subjects: Option<Vec<String>>,
}

/// The accounts of subjects.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShoppersBody {
    /// In the order of the subjects.
    #[schema(example = json!(["7", "8"]))]
    user_ids: Vec<String>,
}

/// Make accounts for shoppers.
///
/// For up to 10,000 subjects, before the sale. A subject that has an account keeps it, so that the request can be sent again. An
/// account has no name, no address and no password. The body may have 3 MiB.
#[utoipa::path(
    post, path = "/api/service/shoppers", operation_id = "createShoppers", tag = "Service", security(("bearer" = [])),
    request_body(content = ShoppersForm),
    responses((status = 200, description = "The ids of the accounts, in the order of the subjects.", body = Success<ShoppersBody>))
)]
pub async fn create(form: Bulk<ShoppersForm>, auth: Data<Auth>) -> Result<HttpResponse, ApiError> {
    let subjects = form.0.subjects.unwrap_or_default();
    let wrong = |message: String| ApiError::saying(ErrorCode::ValidationFailed, message);
    if subjects.is_empty() || subjects.len() > MOST {
        return Err(wrong(format!("subjects must be 1 to {MOST}")));
    }
    if let Some(at) = subjects.iter().position(|subject| !is_subject(subject)) {
        return Err(wrong(format!("subjects[{at}] {SUBJECT_RULE}")));
    }
    let ids = auth.shoppers(&subjects).await?;
    let body = ShoppersBody {
        user_ids: ids.iter().map(UserId::to_string).collect(),
    };
    Ok(HttpResponse::Ok().json(Success::new(body)))
}
