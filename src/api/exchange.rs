//! `POST /api/auth/exchange`: a token of the shop's issuer becomes one of ours.

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::accounts::SessionBody;
use crate::{
    auth::Auth,
    http::{ApiError, Client, Document, ErrorCode, Success},
};

/// Where it is: left out of the table unless an issuer is set.
pub(super) const PATH: &str = "/api/auth/exchange";

// Without `Debug`, since it holds a token.
/// A token of the shop's issuer.
#[derive(Deserialize, ToSchema)]
pub struct ExchangeForm {
    /// A JWT, signed with `RS256`, `ES256` or `EdDSA`.
    #[schema(value_type = String, required = true, example = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ...")]
    token: Option<String>,
}

/// Exchange a token of the shop's issuer.
///
/// For shops that keep the accounts themselves. The token must be for this service and of the shop's issuer; its subject gets an
/// account at the first exchange. The answer's token is for all other requests. 404 if no issuer is set up.
#[utoipa::path(
    post, path = "/api/auth/exchange", operation_id = "exchangeToken", security(()), tag = "Accounts",
    request_body(content = ExchangeForm),
    responses((status = 200, description = "A token for the other requests.", body = Success<SessionBody>))
)]
pub async fn exchange(
    client: Client,
    form: Document<ExchangeForm>,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let token = form
        .value
        .token
        .ok_or_else(|| ApiError::saying(ErrorCode::ValidationFailed, "token is required"))?;
    let session = auth.exchange(&token, client.0).await?;
    Ok(HttpResponse::Ok().json(Success::new(SessionBody::from(session))))
}
