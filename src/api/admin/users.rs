//! `/api/admin/users`: accounts, as a support desk looks them up. Nothing of their passwords.

use actix_web::{HttpResponse, web::Data};

use super::{
    super::access::Operator,
    body::{Page, UserBody},
};
use crate::{
    auth::{Directory, erase_person},
    http::{ApiError, Document, ErrorCode, Parameters, PathId, Success},
    ids::UserId,
    port::{AccountStore, Credentials, Role},
    sale::forms::ReasonForm,
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

/// Erase a person.
///
/// Name, address, password and the identity at the shop's issuer go, also from the action log; orders and attempts stay under the
/// account's id. The account is disabled, and its sessions end, on every node within 5 seconds. Not for accounts of those who run the
/// shop, which `flashsale user erase` erases. Sent again, it does nothing.
#[utoipa::path(
    delete, path = "/api/admin/users/{userId}", operation_id = "eraseUser", tag = "Operators", security(("bearer" = [])),
    params(("userId" = i64, Path, minimum = 1, example = 2, description = "The account's id")),
    request_body(content = Option<ReasonForm>),
    responses((status = 204, description = "The person is erased."))
)]
pub async fn erase(
    operator: Operator,
    user: PathId<UserId>,
    form: Document<ReasonForm>,
    accounts: Data<dyn AccountStore>,
    directory: Data<Directory>,
) -> Result<HttpResponse, ApiError> {
    let missing = || ApiError::saying(ErrorCode::NotFound, UNKNOWN);
    let found = accounts.account(user.0).await?.ok_or_else(missing)?;
    if !matches!(found.role, Role::User | Role::Service) {
        let message =
            "The account is of somebody who runs the shop: flashsale user erase erases it.";
        return Err(ApiError::saying(ErrorCode::NotAllowed, message));
    }
    let entry = operator.entry(form.value.checked()?, None);
    let erasure = erase_person(accounts.as_ref(), user.0, &entry).await?;
    let erasure = erasure.ok_or_else(missing)?;
    directory.note_sessions(user.0, erasure.rule);
    Ok(HttpResponse::NoContent().finish())
}

/// The message for an id that no account has.
pub(super) const UNKNOWN: &str = "No account has this id.";
