//! Who asks: the token of a request, and the account that it names.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web::Data};
use futures::future::{Either, LocalBoxFuture};

use crate::{
    auth::{Directory, Identity, Tokens},
    http::{ApiError, ErrorCode},
    ids::UserId,
};

/// The shopper whose valid token came with the request, and whose account exists.
#[derive(Debug, Clone, Copy)]
pub struct Shopper(pub UserId);

/// A valid token came with the request, whether its account still exists or not: enough for what everybody is told alike.
#[derive(Debug, Clone, Copy)]
pub struct Bearer;

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
