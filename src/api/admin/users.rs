//! `/api/admin/users`: accounts, as a support desk looks them up. Nothing of their passwords.

use actix_web::{HttpResponse, web::Data};

use super::{
    super::access::Operator,
    body::{Page, UserBody},
};
use crate::{
    http::{ApiError, ErrorCode, Parameters, PathId, Success},
    ids::UserId,
    port::{AccountStore, Credentials},
};

/// The account with a username, an e-mail address or an id.
///
/// Give one of them. Usernames and addresses match as at login, whatever their case and form.
#[utoipa::path(
    get, path = "/api/admin/users", operation_id = "findUsers", tag = "Operators", security(("bearer" = [])),
    params(
        ("username" = Option<String>, Query, description = "The username", example = "user1"),
        ("email" = Option<String>, Query, description = "The e-mail address", example = "user1@example.com"),
        ("id" = Option<i64>, Query, minimum = 1, description = "The id", example = 2),
    ),
    responses((status = 200, description = "The account, or nothing; `next` is always `null`.", body = Success<Page<UserBody>>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    credentials: Data<dyn Credentials>,
    accounts: Data<dyn AccountStore>,
) -> Result<HttpResponse, ApiError> {
    let (username, email) = (parameters.text("username"), parameters.text("email"));
    let found = match (username, email, parameters.value("id")?) {
        (Some(username), None, None) => credentials.find_user(username).await?,
        (None, Some(email), None) => accounts.account_of_email(email).await?,
        (None, None, Some(id)) => accounts.account(id).await?,
        _ => {
            let message = "one of username, email and id must be given";
            return Err(ApiError::saying(ErrorCode::ValidationFailed, message));
        }
    };
    let page = Page {
        items: found.iter().map(UserBody::from).collect::<Vec<_>>(),
        next: None,
    };
    Ok(HttpResponse::Ok().json(Success::new(page)))
}

/// An account.
///
/// Its name, its address, its role and whether it is disabled. Nothing of its password.
#[utoipa::path(
    get, path = "/api/admin/users/{userId}", operation_id = "showUser", tag = "Operators", security(("bearer" = [])),
    params(("userId" = i64, Path, minimum = 1, example = 2, description = "The account's id")),
    responses((status = 200, description = "The account.", body = Success<UserBody>))
)]
pub async fn show(
    _: Operator,
    user: PathId<UserId>,
    accounts: Data<dyn AccountStore>,
) -> Result<HttpResponse, ApiError> {
    let found = accounts.account(user.0).await?;
    let found = found.ok_or_else(|| ApiError::saying(ErrorCode::NotFound, UNKNOWN))?;
    Ok(HttpResponse::Ok().json(Success::new(UserBody::from(&found))))
}

/// The message for an id that no account has.
pub(super) const UNKNOWN: &str = "No account has this id.";
