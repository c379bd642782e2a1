//! Who asks: the token of a request, and the account that it names.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web::Data};
use futures::future::{Either, LocalBoxFuture};
use memchr::memchr;

use crate::{
    auth::{AccountRefusal, Directory, Identity, Tokens},
    http::{ApiError, ErrorCode},
    ids::UserId,
};

/// The shopper whose valid token came with the request, and whose account exists.
#[derive(Debug, Clone, Copy)]
pub struct Shopper(pub UserId);

/// The same with all that the token says.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn(pub Identity);

/// A valid token came with the request, whether its account still exists or not: enough for what everybody is told alike. A token
/// that this node knows to be ended is none.
#[derive(Debug, Clone, Copy)]
pub struct Bearer;

/// Mostly it is known here and now whether a token is let in.
type Admission<T> =
    Either<Ready<Result<T, ApiError>>, LocalBoxFuture<'static, Result<T, ApiError>>>;

impl From<Identity> for Shopper {
    fn from(identity: Identity) -> Self {
        Self(identity.user)
    }
}

impl From<Identity> for SignedIn {
    fn from(identity: Identity) -> Self {
        Self(identity)
    }
}

impl FromRequest for Bearer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bearer = identify(request).and_then(|identity| {
            let directory = request.app_data::<Data<Directory>>();
            let directory = directory.ok_or(ErrorCode::Internal)?;
            if directory.is_ended(&identity) {
                return Err(AccountRefusal::Ended.into());
            }
            Ok(Self)
        });
        ready(bearer)
    }
}

impl FromRequest for Shopper {
    type Error = ApiError;
    type Future = Admission<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        admit(request)
    }
}

impl FromRequest for SignedIn {
    type Error = ApiError;
    type Future = Admission<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        admit(request)
    }
}

/// The account of the token must exist, and its tokens must not have been ended.
fn admit<T: From<Identity> + 'static>(request: &HttpRequest) -> Admission<T> {
    let now = |answer| Either::Left(ready(answer));
    let identity = match identify(request) {
        Ok(identity) => identity,
        Err(error) => return now(Err(error)),
    };
    let Some(directory) = request.app_data::<Data<Directory>>() else {
        return now(Err(ErrorCode::Internal.into()));
    };
    if directory.is_known(&identity) {
        return now(Ok(identity.into()));
    }
    let directory = Data::clone(directory);
    Either::Right(Box::pin(async move {
        directory.admit(&identity).await?;
        Ok(identity.into())
    }))
}

pub(super) fn identify(request: &HttpRequest) -> Result<Identity, ApiError> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .ok_or(ErrorCode::TokenMissing)?;
    let header = header.as_bytes();
    let space = memchr(b' ', header).ok_or(ErrorCode::TokenMissing)?;
    let (scheme, token) = header.split_at(space);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(ErrorCode::TokenMissing.into());
    }
    let tokens = request
        .app_data::<Data<Tokens>>()
        .ok_or(ErrorCode::Internal)?;
    Ok(tokens.verify(token.trim_ascii())?)
}
