//! The API of the shop's programs, everything under `/api/service`: one file a resource. Which scope a path needs is said here, and
//! checked in `api::access`.

pub(super) mod token;

use super::router::{Endpoint, TOKEN_PATH, post};
use crate::http::ErrorCode::{
    self, BodyTooLarge, Busy, Internal, InvalidClient, InvalidJson, InvalidRequest, InvalidScope,
    RequestTimeout, TooManyRequests, Unavailable, UnsupportedGrantType, UnsupportedMediaType,
    ValidationFailed,
};

const TOKEN: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    InvalidRequest,
    UnsupportedGrantType,
    InvalidScope,
    InvalidClient,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Internal,
    Busy,
    Unavailable,
];

/// All paths of programs, each but the first with the scope that it needs.
pub(super) fn table() -> Vec<Endpoint> {
    vec![post("service_token", TOKEN_PATH, TOKEN, token::issue)]
}
