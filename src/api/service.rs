//! The API of the shop's programs, everything under `/api/service`: one file a resource. Which scope a path needs is said here, and
//! checked in `api::access`.

pub(super) mod events;
pub(super) mod token;

use super::{
    access::Right,
    router::{Endpoint, TOKEN_PATH, get, post},
};
use crate::{
    http::ErrorCode::{
        self, BadRequest, BodyTooLarge, Busy, EventsAhead, EventsGone, EventsOff, Forbidden,
        Internal, InvalidClient, InvalidJson, InvalidRequest, InvalidScope, RequestTimeout,
        SaleNotFound, TokenExpired, TokenInvalid, TokenMissing, TooManyRequests, Unavailable,
        UnsupportedGrantType, UnsupportedMediaType, ValidationFailed,
    },
    port::Scope,
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

const EVENTS: &[ErrorCode] = &[
    ValidationFailed,
    BadRequest,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    Forbidden,
    SaleNotFound,
    EventsAhead,
    EventsOff,
    EventsGone,
    Busy,
    Unavailable,
];

/// All paths of programs, each but the first with the scope that it needs.
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        post("service_token", TOKEN_PATH, TOKEN, token::issue),
        get(
            "service_events",
            "/api/service/events",
            EVENTS,
            events::list,
        )
        .needs(Right::Scope(Scope::ReadEvents)),
    ]
}
