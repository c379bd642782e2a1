//! `POST /api/service/attempts`: a program of the shop presses "buy" for a shopper.

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::orders::AttemptBody;
use crate::{
    auth::{AccountRefusal, Auth, Directory, Identity, SUBJECT_RULE, is_subject},
    http::{ApiError, Document, ErrorCode, Success},
    ids::{SaleId, UserId},
    order::{AttemptLimit, Purchase, ReplyQueue},
};

pub(in crate::api) const PATH: &str = "/api/service/attempts";

/// An attempt on behalf of a shopper. `subject` or `userId` names the account.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttemptForm {
    #[schema(value_type = i64, required = true, minimum = 1, example = 1)]
    sale_id: Option<i64>,
    /// The subject of an account that exists. Costs one query of the database.
    #[schema(max_length = 255, example = "customer-1042")]
    subject: Option<String>,
    /// The account's id, instead of the subject. Costs no query.
    #[schema(pattern = "^[1-9][0-9]{0,18}$", example = "7")]
    user_id: Option<String>,
}

/// Attempt to purchase an item for a shopper.
///
/// The answers are those of `POST /api/flash-sale/attempt/{saleId}`. A shopper has one attempt in a sale, also if both the shopper and a
/// service account send it. The account must exist and must not be disabled.
#[utoipa::path(
    post, path = "/api/service/attempts", operation_id = "attemptPurchaseFor", tag = "Service", security(("bearer" = [])),
    request_body(content = AttemptForm),
    responses((status = 200, body = Success<AttemptBody>,
        description = "The attempt counts. Asked again, it is the same attempt, PENDING until its order stands."))
)]
pub async fn attempt(
    form: Document<AttemptForm>,
    auth: Data<Auth>,
    directory: Data<Directory>,
    limit: Data<AttemptLimit>,
    purchase: Data<Purchase>,
    replies: Data<ReplyQueue>,
) -> Result<HttpResponse, ApiError> {
    let form = form.value;
    let invalid = |message| ApiError::saying(ErrorCode::ValidationFailed, message);
    let sale = form.sale_id.and_then(SaleId::new);
    let sale = sale.ok_or_else(|| invalid("saleId must be a positive integer"))?;
    let user = match (form.subject, form.user_id) {
        (Some(subject), None) => of_subject(&auth, &subject).await?,
        (None, Some(id)) => {
            let id = id.parse::<UserId>();
            let id = id.map_err(|_| invalid("userId must be a positive integer, as a string"))?;
            admitted(&directory, id).await?
        }
        _ => return Err(invalid("one of subject and userId must be given")),
    };
    limit
        .check_user(user)
        .inspect_err(|_| purchase.counts().count_limited())?;
    let outcome = purchase.attempt(&replies, user, sale).await;
    let accepted = outcome
        .map_err(|refusal| ApiError::of_attempt(refusal, sale, || purchase.times_of(sale)))?;
    Ok(HttpResponse::Ok().json(Success::from(accepted)))
}

async fn of_subject(auth: &Auth, subject: &str) -> Result<UserId, ApiError> {
    if !is_subject(subject) {
        let message = format!("subject {SUBJECT_RULE}");
        return Err(ApiError::saying(ErrorCode::ValidationFailed, message));
    }
    let account = auth.shopper(subject).await?;
    let account = account.filter(|account| account.sessions.admits(i64::MAX));
    Ok(account.ok_or(ErrorCode::ShopperNotFound)?.user)
}

/// Whether the account exists and is not disabled, as with a token that no end of sessions has reached.
async fn admitted(directory: &Directory, user: UserId) -> Result<UserId, ApiError> {
    let identity = Identity::of_shopper(user, i64::MAX);
    match directory.admit(&identity).await {
        Ok(()) => Ok(user),
        Err(AccountRefusal::Unknown | AccountRefusal::Ended) => {
            Err(ErrorCode::ShopperNotFound.into())
        }
        Err(error @ AccountRefusal::Unavailable(_)) => Err(error.into()),
    }
}
