//! The table of routes: every path the service answers, with its method, name and the errors it answers with.
//!
//! The one place. The document is completed from it, so that it cannot fall behind.

use std::rc::Rc;

use actix_web::{
    FromRequest, Handler, Responder, Route, guard,
    http::Method,
    middleware::from_fn,
    web::{self, ServiceConfig},
};

use super::{accounts, docs, health, orders, sale};
use crate::http::{
    ApiError,
    ErrorCode::{
        self, BadRequest, BodyTooLarge, Busy, EmailTaken, Ended, Internal, InvalidCredentials,
        InvalidId, InvalidJson, NotFound, NotStarted, OutcomeUnknown, RequestTimeout,
        ResetTokenInvalid, ResultNotFound, SaleNotFound, SalePreparing, SoldOut, TokenExpired,
        TokenInvalid, TokenMissing, TooManyRequests, Unavailable, UnsupportedMediaType,
        UsernameTaken, ValidationFailed,
    },
    RouteMetrics, Statuses, UNMATCHED, finish,
};

/// A path with what answers it.
pub(super) struct Endpoint {
    /// What it is called in metrics.
    pub name: &'static str,
    /// GET stands for HEAD too.
    pub method: Method,
    pub path: &'static str,
    pub errors: &'static [ErrorCode],
    /// Makes its handler.
    route: Box<dyn Fn() -> Route>,
}

const REGISTER: &[ErrorCode] = &[
    InvalidJson,
    ValidationFailed,
    BadRequest,
    RequestTimeout,
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
const ATTEMPT_PATH: &str = "/api/flash-sale/attempt/{saleId}";
const ATTEMPT: &[ErrorCode] = &[
    InvalidId,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    SaleNotFound,
    SoldOut,
    NotStarted,
    Ended,
    TooManyRequests,
    SalePreparing,
    Busy,
    Unavailable,
    OutcomeUnknown,
];
const ORDER: &[ErrorCode] = &[
    InvalidId,
    ResultNotFound,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    Unavailable,
];

/// What the API answers. The router looks from the top: what comes by the thousand is first.
pub(super) fn api() -> Vec<Endpoint> {
    let mut table = vec![
        post("attempt", ATTEMPT_PATH, ATTEMPT, orders::attempt),
        get(
            "order_status",
            "/api/orders/status/{productId}",
            ORDER,
            orders::status,
        ),
        get("sale_status", "/api/flash-sale/status", SALE, sale::status),
        post("login", "/api/auth/login", LOGIN, accounts::login),
        post(
            "register",
            "/api/auth/register",
            REGISTER,
            accounts::register,
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
    ];
    table.extend(probes());
    table.extend([
        get("index", "/", &[], docs::index),
        get("docs", "/api-docs", &[], docs::index),
        get("openapi", "/api-docs/openapi.json", &[], docs::openapi),
        get("docs_files", "/api-docs/{file:.*}", &[NotFound], docs::file),
    ]);
    table
}

/// What the API answers, with or without the pages of the documentation and the metrics.
pub(super) fn served(api_docs: bool, metrics: bool) -> Vec<Endpoint> {
    let mut table = api();
    table.retain(|endpoint| {
        let is_docs = endpoint.path == "/" || endpoint.path.starts_with("/api-docs");
        (api_docs || !is_docs) && (metrics || endpoint.path != "/metrics")
    });
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

/// Hangs the table up: each path once, the wrong methods answered with 405, all other paths with 404.
///
/// `statuses` is what refused attempts are answered with.
pub(super) fn mount(table: Vec<Endpoint>, statuses: Statuses, config: &mut ServiceConfig) {
    for Endpoint {
        name,
        method,
        path,
        route,
        ..
    } in table
    {
        let allow = if method == Method::GET {
            "GET, HEAD"
        } else {
            "POST"
        };
        let refuse = move || async move { Err::<&str, _>(ApiError::method_not_allowed(allow)) };
        let metrics = RouteMetrics::new(name);
        let statuses = if path == ATTEMPT_PATH {
            statuses
        } else {
            Statuses::Ours
        };
        // Express, on which the original runs, takes a trailing slash for the same path. A resource of its own: the router
        // compares a plain path, but searches in a set of them.
        let slashed = path.starts_with("/api/") || path.starts_with("/health");
        let paths = [Some(path.to_owned()), slashed.then(|| format!("{path}/"))];
        for path in paths.into_iter().flatten() {
            let metrics = Rc::clone(&metrics);
            let resource = web::resource(path)
                .route(route())
                .default_service(web::to(refuse))
                .wrap(from_fn(move |request, next| {
                    finish(Rc::clone(&metrics), statuses, request, next)
                }));
            config.service(resource);
        }
    }
    let metrics = RouteMetrics::new(UNMATCHED);
    let not_found = web::to(async || Err::<&str, _>(ApiError::from(ErrorCode::NotFound)));
    config.default_service(not_found.wrap(from_fn(move |request, next| {
        finish(metrics.clone(), Statuses::Ours, request, next)
    })));
}

fn get<F, Args>(
    name: &'static str,
    path: &'static str,
    errors: &'static [ErrorCode],
    handler: F,
) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = move || {
        web::route()
            .guard(guard::Any(guard::Get()).or(guard::Head()))
            .to(handler.clone())
    };
    Endpoint {
        name,
        method: Method::GET,
        path,
        errors,
        route: Box::new(route),
    }
}

fn post<F, Args>(
    name: &'static str,
    path: &'static str,
    errors: &'static [ErrorCode],
    handler: F,
) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Endpoint {
        name,
        method: Method::POST,
        path,
        errors,
        route: Box::new(move || web::post().to(handler.clone())),
    }
}
