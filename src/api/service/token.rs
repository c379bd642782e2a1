//! `POST /api/service/token`: a program of the shop exchanges its client id and secret for a token.

use actix_web::{HttpRequest, HttpResponse, http::header::AUTHORIZATION, web::Data};
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::{Auth, ClientCredentials, ServiceToken},
    http::{ApiError, Client, ErrorCode, Fields},
};

// Without `Debug`, since it holds a secret.
/// A request for a token.
#[derive(Deserialize, ToSchema)]
pub struct TokenForm {
    #[schema(value_type = String, required = true, example = "client_credentials")]
    grant_type: Option<String>,
    /// Unless it is in the header `Authorization`.
    #[schema(example = "shop-backend")]
    client_id: Option<String>,
    /// Unless it is in the header `Authorization`.
    #[schema(
        format = Password,
        example = "5f1e7c3a9d523f6f0c2b8e115f1e7c3a9d523f6f0c2b8e115f1e7c3a9d523f6f"
    )]
    client_secret: Option<String>,
    /// Some of the account's scopes, with spaces between them; all of them if missing.
    #[schema(example = "orders:settle events:read")]
    scope: Option<String>,
}

/// A token for the paths under `/api/service` (RFC 6749, 5.1).
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")]
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    #[schema(example = 3600)]
    expires_in: u64,
    #[schema(example = "orders:settle events:read")]
    scope: String,
}

impl From<ServiceToken> for TokenBody {
    fn from(token: ServiceToken) -> Self {
        Self {
            access_token: token.token,
            token_type: "Bearer",
            expires_in: token.expires_in.as_secs(),
            scope: token.scopes.to_string(),
        }
    }
}

/// Get a token for a program of the shop.
///
/// OAuth 2.0, grant type `client_credentials`. The client id and secret come either with HTTP Basic or as fields of the body. Errors
/// have the names of RFC 6749 in `error`. Ask for a new token when the one that you have is about to expire.
#[utoipa::path(
    post, path = "/api/service/token", operation_id = "issueServiceToken", security(()), tag = "Service",
    request_body(content((TokenForm = "application/x-www-form-urlencoded"), (TokenForm = "application/json"))),
    responses((status = 200, description = "A token for the paths under /api/service.", body = TokenBody))
)]
pub async fn issue(
    request: HttpRequest,
    client: Client,
    form: Fields<TokenForm>,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let Fields(form) = form;
    match form.grant_type.as_deref() {
        None => return Err(ErrorCode::InvalidRequest.into()),
        Some("client_credentials") => {}
        Some(_) => return Err(ErrorCode::UnsupportedGrantType.into()),
    }
    let (in_header, scope) = (basic(&request)?, form.scope);
    let credentials = match (in_header, form.client_id, form.client_secret) {
        (Some(credentials), None, None) => credentials,
        (None, Some(client_id), Some(client_secret)) => ClientCredentials {
            client_id,
            client_secret,
        },
        _ => return Err(ErrorCode::InvalidRequest.into()),
    };
    let token = auth.service_token(credentials, scope.as_deref(), client.0);
    Ok(HttpResponse::Ok().json(TokenBody::from(token.await?)))
}

/// The credentials of the header, if there is one (RFC 7617, and RFC 6749, 2.3.1: both parts are encoded as in a form).
fn basic(request: &HttpRequest) -> Result<Option<ClientCredentials>, ErrorCode> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Ok(None);
    };
    let pair = || {
        let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
        let pair = String::from_utf8(decoded).ok()?;
        let (client_id, client_secret) = pair.split_once(':')?;
        Some(ClientCredentials {
            client_id: decoded_part(client_id)?,
            client_secret: decoded_part(client_secret)?,
        })
    };
    pair().map(Some).ok_or(ErrorCode::InvalidClient)
}

fn decoded_part(part: &str) -> Option<String> {
    let spaced = part.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}
