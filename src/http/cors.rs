//! Which browsers' pages may call: those of the configured origins.

use actix_cors::Cors;
use actix_web::{
    http::{Method, header::RETRY_AFTER},
    middleware::Condition,
};

use crate::config::ServerConfig;

/// How long a browser may remember the answer to a preflight, seconds.
const PREFLIGHT_SECS: usize = 3600;

/// CORS for the configured origins; `*` lets all in. Without any: pages of this machine in development, none in production.
pub(super) fn cors(config: &ServerConfig) -> Condition<Cors> {
    let origins = &config.frontend_origins;
    let base = Cors::default()
        .allowed_methods([Method::GET, Method::HEAD, Method::POST])
        // Whatever tracing and request libraries add by themselves: the origin is what lets a page in, and a header that this
        // API does not read does nothing. The original, on Express, answers the same.
        .allow_any_header()
        .expose_headers([RETRY_AFTER])
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
