//! The table of routes: every path the service answers, with its method, name and the errors it answers with.
//!
//! The only list of routes; the OpenAPI document is completed from it.

use super::{
    accounts, admin, docs, events, exchange, health, orders, pages, public, results,
    router::{ATTEMPT_PATH, Endpoint, get, post},
    sale, service,
};
use crate::{
    config::ServerConfig,
    http::ErrorCode::{
        self, BadRequest, BodyTooLarge, Busy, EmailTaken, Ended, Internal, InvalidCredentials,
        InvalidId, InvalidJson, LocalAccountsOff, NotFound, NotStarted, OutcomeUnknown, Paused,
        RequestTimeout, ResetTokenInvalid, ResultNotFound, SaleNotFound, SalePreparing, SoldOut,
        TokenExpired, TokenInvalid, TokenMissing, TooManyRequests, Unavailable,
        UnsupportedMediaType, UsernameTaken, ValidationFailed,
    },
};

/// Files of the pages.
const ASSET_PATH: &str = "/assets/{hash}/{file:.*}";

const REGISTER: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    BadRequest,
    RequestTimeout,
    LocalAccountsOff,
    UsernameTaken,
    EmailTaken,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Internal,
    Busy,
    Unavailable,
];
const LOGIN: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    BadRequest,
    InvalidCredentials,
    LocalAccountsOff,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Internal,
    Busy,
    Unavailable,
];
const LOGOUT: &[ErrorCode] = &[
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    TooManyRequests,
    Unavailable,
];
const CHANGE_PASSWORD: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    BadRequest,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    InvalidCredentials,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Internal,
    Busy,
    Unavailable,
];
const EXCHANGE: &[ErrorCode] = &[
    // Without a setting of an issuer.
    NotFound,
    InvalidJson,
    ValidationFailed,
    TokenInvalid,
    TokenExpired,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Internal,
    Busy,
    Unavailable,
];
const RESET_PASSWORD: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    BadRequest,
    ResetTokenInvalid,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Internal,
    Busy,
    Unavailable,
];
const SALE: &[ErrorCode] = &[TokenMissing, TokenInvalid, TokenExpired, SaleNotFound];
const ATTEMPT: &[ErrorCode] = &[
    InvalidId,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    SaleNotFound,
    SoldOut,
    NotStarted,
    Paused,
    Ended,
    TooManyRequests,
    SalePreparing,
    Busy,
    Unavailable,
    OutcomeUnknown,
];
const ORDER_EVENTS: &[ErrorCode] = &[
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    TooManyRequests,
    Busy,
    Unavailable,
];
const ORDER_RESULTS: &[ErrorCode] = &[
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    TooManyRequests,
    Unavailable,
];
const ORDER: &[ErrorCode] = &[
    InvalidId,
    ResultNotFound,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    Unavailable,
];

/// The routes of the API. The router tries routes in this order: the most frequent first, and a path without parameters before
/// those that the router searches.
pub(super) fn api() -> Vec<Endpoint> {
    let mut table = vec![
        get("sale_status", "/api/flash-sale/status", SALE, sale::status),
        post("attempt", ATTEMPT_PATH, ATTEMPT, orders::attempt).mostly_refused(),
        get(
            "order_status",
            "/api/orders/status/{productId}",
            ORDER,
            orders::status,
        ),
        get("sales", "/api/flash-sales", &[], public::sales),
        get("time", "/api/time", &[], public::time),
        post("login", "/api/auth/login", LOGIN, accounts::login),
        post(
            "register",
            "/api/auth/register",
            REGISTER,
            accounts::register,
        ),
        get(
            "sale",
            "/api/flash-sales/{saleId}",
            &[InvalidId, SaleNotFound],
            public::sale,
        ),
        get(
            "order_events",
            "/api/orders/events",
            ORDER_EVENTS,
            events::orders,
        ),
        get(
            "order_results",
            "/api/orders/results",
            ORDER_RESULTS,
            results::show,
        ),
        get(
            "sale_events",
            "/api/flash-sales/{saleId}/events",
            &[InvalidId, SaleNotFound, TooManyRequests, Busy],
            events::sale,
        ),
        post("logout", "/api/auth/logout", LOGOUT, accounts::logout),
        post(
            "change_password",
            "/api/auth/password",
            CHANGE_PASSWORD,
            accounts::change_password,
        ),
        post(
            "reset_password",
            "/api/auth/reset",
            RESET_PASSWORD,
            accounts::reset_password,
        ),
        post("exchange", exchange::PATH, EXCHANGE, exchange::exchange),
    ];
    table.extend(probes());
    table.extend(admin::table());
    table.extend(service::table());
    table.extend(console());
    table.extend([
        get("index", "/", &[], pages::index),
        get("docs", "/api-docs", &[], docs::index),
        get("openapi", "/api-docs/openapi.json", &[], docs::openapi),
        get("docs_files", "/api-docs/{file:.*}", &[NotFound], docs::file),
    ]);
    table
}

/// What the API answers by its settings.
pub(super) fn served(config: &ServerConfig, external: External) -> Vec<Endpoint> {
    let mut table = api();
    table.retain(|endpoint| is_served(config, endpoint.path) && external.is_served(endpoint.path));
    table
}

/// What is answered for accounts of the shop.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct External {
    /// Programs of the shop make accounts and press for them.
    pub accounts: bool,
    /// Tokens of the shop's issuer are exchanged.
    pub exchange: bool,
}

impl External {
    fn is_served(self, path: &str) -> bool {
        match path {
            exchange::PATH => self.exchange,
            service::attempts::PATH | service::shoppers::PATH => self.accounts,
            _ => true,
        }
    }
}

fn is_served(config: &ServerConfig, path: &str) -> bool {
    let pages = &config.pages;
    match path {
        "/" => config.api_docs || pages.shop,
        // In production metrics are for the inside: `serve_probes` serves them there.
        "/metrics" => !config.production,
        "/admin" | "/admin/" => pages.admin,
        ASSET_PATH => pages.shop || pages.admin,
        path => config.api_docs || !path.starts_with("/api-docs"),
    }
}

/// The operators' console, and the files of all pages.
fn console() -> Vec<Endpoint> {
    vec![
        get("admin_page", "/admin", &[], pages::console),
        get("admin_page", "/admin/", &[], pages::console_with_slash),
        get("assets", ASSET_PATH, &[NotFound], pages::asset),
    ]
}

/// What a node answers on the port for the inside, on connections of its own: operators reach it while shoppers have all of the
/// API's.
pub(super) fn inside(admin_page: bool) -> Vec<Endpoint> {
    let mut table = probes();
    if admin_page {
        table.extend(console());
    }
    table.push(post("login", "/api/auth/login", LOGIN, accounts::login));
    table.extend(admin::table());
    table
}

/// What every process answers.
pub(super) fn probes() -> Vec<Endpoint> {
    vec![
        get("health", "/health", &[], health::live),
        get("ready", "/health/ready", &[], health::ready),
        get("metrics", "/metrics", &[], health::metrics),
    ]
}
