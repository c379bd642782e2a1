//! CORS: pages of the configured origins may call the API.

use actix_cors::Cors;
use actix_web::{
    http::{
        Method,
        header::{ETAG, LOCATION, RETRY_AFTER},
    },
    middleware::Condition,
};

use super::{
    conditional::IDEMPOTENCY_REPLAYED,
    identity::{REQUEST_ID, TRACEPARENT},
};
use crate::config::ServerConfig;

/// How long a browser may cache the response to a preflight request, in seconds.
const PREFLIGHT_SECS: usize = 3600;

/// CORS for `config.frontend_origins`, where `*` allows every origin. If the list is empty, pages of this machine are allowed in
/// development, and CORS is off in production.
pub(super) fn cors(config: &ServerConfig) -> Condition<Cors> {
    let origins = &config.frontend_origins;
    let base = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        // Tracing and request libraries add headers of their own. Access depends on the origin alone, and this API ignores
        // headers that it does not read. The original service, on Express, allows every header too.
        .allow_any_header()
        .expose_headers([
            ETAG,
            LOCATION,
            RETRY_AFTER,
            IDEMPOTENCY_REPLAYED,
            REQUEST_ID,
            TRACEPARENT,
        ])
        .max_age(PREFLIGHT_SECS);
    let cors = if origins.iter().any(|origin| origin == "*") {
        // Browsers refuse a wildcard together with credentials (Fetch, 3.2.5).
        base.allow_any_origin().send_wildcard()
    } else if origins.is_empty() {
        base.supports_credentials()
            .allowed_origin_fn(|origin, _| origin.to_str().is_ok_and(is_local))
    } else {
        let base = base.supports_credentials();
        origins.iter().fold(base, |cors, origin| {
            cors.allowed_origin(origin.trim_end_matches('/'))
        })
    };
    Condition::new(!origins.is_empty() || !config.production, cors)
}

/// Whether an origin is a page of this machine, on any port.
fn is_local(origin: &str) -> bool {
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let rest = host.and_then(|host| {
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .find_map(|local| host.strip_prefix(local))
    });
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok())
    })
}
