//! What handlers take from a request: who asks, which id, which body.

use std::{fmt, future::Ready, future::ready, time::Duration};

use actix_web::{
    FromRequest, HttpRequest,
    dev::{JsonBody as ActixJsonBody, Payload},
    http::header::AUTHORIZATION,
    web::Data,
};
use futures::future::{Either, LocalBoxFuture};
use serde::de::DeserializeOwned;

use super::{ApiError, ErrorCode};
use crate::{
    auth::{Directory, Identity, Tokens},
    ids::UserId,
};

/// The largest body that is read, bytes. No request needs a tenth of it.
const BODY_LIMIT: usize = 16 * 1024;

/// The shopper whose valid token came with the request, and whose account exists.
#[derive(Debug, Clone, Copy)]
pub struct Shopper(pub UserId);

/// A valid token came with the request, whether its account still exists or not: enough for what everybody is told alike.
#[derive(Debug, Clone, Copy)]
pub struct Bearer;

/// The id in the path. Stands behind [`Shopper`] in a handler's arguments, since without a token nothing else is told.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

/// A JSON body, within the limits of size and time.
pub struct JsonBody<T>(pub T);

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyTimeout(pub Duration);

impl FromRequest for Bearer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(identify(request).map(|_| Self))
    }
}

/// The account of the token must exist. Mostly that is known here and now.
impl FromRequest for Shopper {
    type Error = ApiError;
    type Future =
        Either<Ready<Result<Self, ApiError>>, LocalBoxFuture<'static, Result<Self, ApiError>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let now = |answer| Either::Left(ready(answer));
        let identity = match identify(request) {
            Ok(identity) => identity,
            Err(error) => return now(Err(error)),
        };
        let Some(directory) = request.app_data::<Data<Directory>>() else {
            return now(Err(ErrorCode::Internal.into()));
        };
        let shopper = Self(identity.user);
        if directory.is_known(&identity) {
            return now(Ok(shopper));
        }
        let directory = Data::clone(directory);
        Either::Right(Box::pin(async move {
            directory.admit(&identity).await?;
            Ok(shopper)
        }))
    }
}

impl<T: std::str::FromStr<Err: fmt::Display>> FromRequest for PathId<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (name, text) = request.match_info().iter().next().unwrap_or_default();
        let wrong =
            |error: T::Err| ApiError::saying(ErrorCode::InvalidId, format!("{name} {error}"));
        ready(text.parse().map(Self).map_err(wrong))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limit = request
            .app_data::<BodyTimeout>()
            .map_or(Duration::from_secs(5), |limit| limit.0);
        let body = ActixJsonBody::<T>::new(request, payload, None, true).limit(BODY_LIMIT);
        Box::pin(async move {
            let body = tokio::time::timeout(limit, body)
                .await
                .map_err(|_| ErrorCode::RequestTimeout)?;
            Ok(Self(body?))
        })
    }
}

fn identify(request: &HttpRequest) -> Result<Identity, ApiError> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .ok_or(ErrorCode::TokenMissing)?;
    let header = header.to_str().map_err(|_| ErrorCode::TokenInvalid)?;
    let (scheme, token) = header.split_once(' ').ok_or(ErrorCode::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ErrorCode::TokenMissing.into());
    }
    let tokens = request
        .app_data::<Data<Tokens>>()
        .ok_or(ErrorCode::Internal)?;
    Ok(tokens.verify(token.trim())?)
}
