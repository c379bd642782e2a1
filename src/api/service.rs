//! The API of the shop's programs, everything under `/api/service`: one file a resource. Which scope a path needs is said here, and
//! checked in `api::access`.

pub(super) mod attempts;
pub(super) mod events;
pub(super) mod shoppers;
pub(super) mod token;

use super::{
    access::Right,
    router::{Endpoint, TOKEN_PATH, get, post},
};
use crate::{
    http::ErrorCode::{
        self, BadRequest, BodyTooLarge, Busy, Ended, EventsAhead, EventsGone, EventsOff, Forbidden,
        Internal, InvalidClient, InvalidJson, InvalidRequest, InvalidScope, NotStarted,
        OutcomeUnknown, Paused, RequestTimeout, SaleNotFound, SalePreparing, ShopperNotFound,
        SoldOut, TokenExpired, TokenInvalid, TokenMissing, TooManyRequests, Unavailable,
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

const SHOPPERS: &[ErrorCode] = &[
    // Without a setting of an issuer.
    ErrorCode::NotFound,
    InvalidJson,
    ValidationFailed,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    Forbidden,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Busy,
    Unavailable,
];
const ATTEMPTS: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    Forbidden,
    SaleNotFound,
    ShopperNotFound,
    RequestTimeout,
    SoldOut,
    NotStarted,
    Paused,
    Ended,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    SalePreparing,
    Busy,
    Unavailable,
    OutcomeUnknown,
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
#[rustfmt::skip] // a table
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        post("service_token", TOKEN_PATH, TOKEN, token::issue),
        get("service_events", "/api/service/events", EVENTS, events::list).needs(Right::Scope(Scope::ReadEvents)),
        post("service_attempts", attempts::PATH, ATTEMPTS, attempts::attempt)
            .needs(Right::Scope(Scope::WriteAttempts))
            .mostly_refused(),
        post("service_shoppers", shoppers::PATH, SHOPPERS, shoppers::create).needs(Right::Scope(Scope::WriteShoppers)),
    ]
}
