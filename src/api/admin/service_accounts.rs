//! `/api/admin/service-accounts`: accounts of the shop's programs, with their scopes and secrets.

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    super::access::Operator,
    body::{Page, ServiceAccountBody},
};
use crate::{
    auth::{AuthError, Directory, ServiceAccountDesk},
    http::{ApiError, Document, ErrorCode, Parameters, PathId, Success},
    ids::UserId,
    port::{Scopes, UnknownScope},
    sale::forms::{ReasonForm, reason},
};

/// A new service account.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewServiceAccountForm {
    /// Letters, digits, dots, underscores and hyphens.
    #[schema(value_type = String, required = true, min_length = 3, max_length = 50, pattern = "^[A-Za-z0-9._-]+$", example = "shop-backend")]
    client_id: Option<String>,
    #[schema(value_type = Vec<String>, required = true, example = json!(["orders:settle", "events:read"]))]
    scopes: Option<Vec<String>>,
    /// For the action log; at most 500 characters.
    #[schema(max_length = 500, example = "the shop's order system")]
    reason: Option<String>,
}

/// Other scopes of a service account.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopesForm {
    #[schema(value_type = Vec<String>, required = true, example = json!(["events:read"]))]
    scopes: Option<Vec<String>>,
    /// For the action log; at most 500 characters.
    #[schema(max_length = 500, example = "settles no orders any more")]
    reason: Option<String>,
}

/// Service accounts.
///
/// By id. Nothing of their secrets.
#[utoipa::path(
    get, path = "/api/admin/service-accounts", operation_id = "listServiceAccounts", tag = "Operators", security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 if missing", example = 50),
        ("after" = Option<i64>, Query, minimum = 1, description = "`next` of the page before", example = 7),
    ),
    responses((status = 200, description = "Some of them.", body = Success<Page<ServiceAccountBody>>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    desk: Data<ServiceAccountDesk>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=500, 50)?;
    let after: Option<UserId> = parameters.value("after")?;
    let rows = desk.accounts.service_accounts(after, limit + 1).await?;
    let page = Page::of(
        rows,
        limit,
        |account| account.user.id.to_string(),
        |account| ServiceAccountBody::of(&account, None),
    );
    Ok(HttpResponse::Ok().json(Success::new(page)))
}

/// Make a service account.
///
/// The client secret is in the answer, and is shown nowhere else. A request that is sent again is answered 409 `username_taken`: give
/// the account a new secret then.
#[utoipa::path(
    post, path = "/api/admin/service-accounts", operation_id = "createServiceAccount", tag = "Operators", security(("bearer" = [])),
    request_body(content = NewServiceAccountForm),
    responses((status = 201, description = "The account, with its secret.", body = Success<ServiceAccountBody>))
)]
pub async fn create(
    operator: Operator,
    form: Document<NewServiceAccountForm>,
    desk: Data<ServiceAccountDesk>,
    directory: Data<Directory>,
) -> Result<HttpResponse, ApiError> {
    let form = form.value;
    let client_id = form.client_id.unwrap_or_default();
    let scopes = scopes(form.scopes)?;
    let above = directory.ids_above().await.map_err(AuthError::Account)?;
    let entry = operator.entry(reason(form.reason)?, None);
    let (account, secret) = desk.make(&client_id, scopes, above, &entry).await?;
    let body = ServiceAccountBody::of(&account, Some(secret.reveal().to_owned()));
    Ok(HttpResponse::Created().json(Success::new(body)))
}

/// Change the scopes of a service account.
///
/// Ends its tokens: the program gets one with the new scopes.
#[utoipa::path(
    patch, path = "/api/admin/service-accounts/{userId}", operation_id = "changeServiceAccount", tag = "Operators", security(("bearer" = [])),
    params(("userId" = i64, Path, minimum = 1, example = 7, description = "The account's id")),
    request_body(content = ScopesForm),
    responses((status = 200, description = "The account.", body = Success<ServiceAccountBody>))
)]
pub async fn change(
    operator: Operator,
    id: PathId<UserId>,
    form: Document<ScopesForm>,
    desk: Data<ServiceAccountDesk>,
) -> Result<HttpResponse, ApiError> {
    let form = form.value;
    let scopes = scopes(form.scopes)?;
    let entry = operator.entry(reason(form.reason)?, None);
    let account = desk.set_scopes(id.0, scopes, &entry).await?;
    Ok(HttpResponse::Ok().json(Success::new(ServiceAccountBody::of(&account, None))))
}

/// Replace the secret of a service account.
///
/// The new one is in the answer, and is shown nowhere else. The old one and all tokens of the account end.
#[utoipa::path(
    post, path = "/api/admin/service-accounts/{userId}/secret", operation_id = "renewServiceSecret", tag = "Operators", security(("bearer" = [])),
    params(("userId" = i64, Path, minimum = 1, example = 7, description = "The account's id")),
    request_body(content = Option<ReasonForm>),
    responses((status = 200, description = "The account, with its new secret.", body = Success<ServiceAccountBody>))
)]
pub async fn renew_secret(
    operator: Operator,
    id: PathId<UserId>,
    form: Document<ReasonForm>,
    desk: Data<ServiceAccountDesk>,
) -> Result<HttpResponse, ApiError> {
    let entry = operator.entry(form.value.checked()?, None);
    let (account, secret) = desk.renew_secret(id.0, &entry).await?;
    let body = ServiceAccountBody::of(&account, Some(secret.reveal().to_owned()));
    Ok(HttpResponse::Ok().json(Success::new(body)))
}

fn scopes(names: Option<Vec<String>>) -> Result<Scopes, ApiError> {
    let names = names.unwrap_or_default().join(" ");
    let parsed = names.parse();
    parsed.map_err(|error: UnknownScope| {
        ApiError::saying(ErrorCode::ValidationFailed, error.to_string())
    })
}
