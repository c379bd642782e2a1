//! Which browsers' pages may call: those of the configured origins.

use actix_cors::Cors;
use actix_web::{
    http::{
        Method,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    },
    middleware::Condition,
};

/// How long a browser may remember the answer to a preflight, seconds.
const PREFLIGHT_SECS: usize = 3600;

/// CORS for these origins; `*` lets all in; without any there are no CORS headers at all.
pub(super) fn cors(origins: &[String]) -> Condition<Cors> {
    let base = Cors::default()
        .allowed_methods([Method::GET, Method::HEAD, Method::POST])
        .allowed_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER])
        .max_age(PREFLIGHT_SECS);
    let all = origins.iter().any(|origin| origin == "*");
    let cors = if all {
        // Tokens come in a header, never in a cookie: a wildcard gives nothing away.
        base.allow_any_origin().send_wildcard()
    } else {
        origins.iter().fold(base, |cors, origin| {
            cors.allowed_origin(origin.trim_end_matches('/'))
        })
    };
    Condition::new(!origins.is_empty(), cors)
}
