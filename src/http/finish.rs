//! Middleware that completes every response: counts it, adds the headers that all responses have, and gives errors of the
//! framework the API's format.

use std::{cell::RefCell, rc::Rc};

use actix_http::ConnectionType;
use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
};
use metrics::Counter;
use percent_encoding::percent_decode_str;

use super::{
    ApiError, ErrorCode,
    drain::{ConnectionRequests, Draining},
    error::wants_problem,
    statuses::Statuses,
};

/// Headers that every response has, unless it sets them itself. They forbid browsers to guess content types, to show the response
/// in a frame, to run scripts, to send its address as a referrer, and to store it. HSTS is up to the proxy that terminates TLS.
pub(super) const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The counter of responses, by route and status.
const REQUESTS: &str = "flashsale_http_requests_total";

/// The metrics' label `route` of requests that match no route.
pub const UNMATCHED: &str = "unmatched";

/// Counts one route's responses. A counter is looked up once for each status, not for each request.
pub struct RouteMetrics {
    route: &'static str,
    counters: RefCell<Vec<(StatusCode, Counter)>>,
}

impl RouteMetrics {
    #[must_use]
    pub fn new(route: &'static str) -> Rc<Self> {
        Rc::new(Self {
            route,
            counters: RefCell::default(),
        })
    }

    fn count(&self, status: StatusCode) {
        let mut counters = self.counters.borrow_mut();
        if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == status) {
            counter.increment(1);
            return;
        }
        let counter = metrics::counter!(REQUESTS, "route" => self.route, "status" => status.as_str().to_owned());
        counter.increment(1);
        counters.push((status, counter));
    }
}

/// The middleware around every route.
pub async fn finish<B: MessageBody + 'static>(
    metrics: Rc<RouteMetrics>,
    statuses: Statuses,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let problem = wants_problem(request.headers());
    let answer = match next.call(request).await {
        Ok(answer) => reshape(answer.map_into_boxed_body(), problem, statuses),
        Err(error) => return Err(error),
    };
    metrics.count(answer.status());
    Ok(answer)
}

/// The outermost middleware. It also completes responses that are sent before a route is chosen, as to a refused preflight
/// request.
pub(super) async fn finish_outermost<B: MessageBody + 'static>(
    draining: Draining,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let problem = wants_problem(request.headers());
    let requests = request.request().conn_data::<ConnectionRequests>();
    let requests = requests.map(|requests| (requests.clone(), requests.begin()));
    let answer = if is_canonical(request.path()) {
        next.call(request).await?.map_into_boxed_body()
    } else {
        RouteMetrics::new(UNMATCHED).count(StatusCode::NOT_FOUND);
        request.error_response(ApiError::from(ErrorCode::NotFound))
    };
    let mut answer = reshape(answer, problem, Statuses::Ours);
    // In both cases the server reads no further request of this connection, so the client must not send one.
    let is_cut_off = requests
        .as_ref()
        .is_some_and(|(requests, _)| requests.is_cut_off());
    if is_cut_off || draining.has_begun() {
        let head = answer.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    let headers = answer.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    Ok(answer)
}

/// Prefixes of the paths that end with an id.
const ID_PATHS: [&str; 2] = ["/api/flash-sale/attempt/", "/api/orders/status/"];
/// The path of the sale's status, which is accepted with any escapes because some clients escape its letters. The paths of
/// attempts and logins are accepted in one spelling only, because a proxy may limit their requests by path.
const STATUS_PATH: &str = "/api/flash-sale/status";

/// Whether a path is in its normal form (RFC 3986, 6.2.2); any other form gets 404. The normal form has no empty segment, no
/// segment that begins with a dot, and no escape of a character that needs none. The router would decode `/%6detrics` to
/// `/metrics`, which a proxy that blocks `/metrics` from outside may let pass.
///
/// The rule on escapes does not apply to [`ID_PATHS`] and [`STATUS_PATH`]: some clients escape every character of an id and of
/// the status path, and no proxy blocks these paths. A path with an escape that is needed matches no route, except in an id,
/// where the extractor [`PathId`](super::PathId) checks it.
fn is_canonical(path: &str) -> bool {
    let bytes = path.as_bytes();
    let segments_are_plain = bytes.windows(2).all(|pair| !matches!(pair, b"//" | b"/."));
    let needs_escape = |escape: &[u8]| {
        let digits = escape
            .get(1..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let letter = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        letter.is_none_or(|letter| !letter.is_ascii_alphanumeric() && !b"-._~".contains(&letter))
    };
    let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    let may_escape = || {
        ID_PATHS.iter().any(|prefix| path.starts_with(prefix))
            || percent_decode_str(path.strip_suffix('/').unwrap_or(path)).eq(STATUS_PATH.bytes())
    };
    segments_are_plain
        && (escapes.all(|(place, _)| bytes.get(place..).is_none_or(needs_escape)) || may_escape())
}

/// Gives an error response the format that the client asked for and the status of `statuses`. Errors of the framework become
/// ours.
fn reshape(mut answer: ServiceResponse, problem: bool, statuses: Statuses) -> ServiceResponse {
    let Some(error) = answer.response().error() else {
        return answer;
    };
    let replacement = match error.as_error::<ApiError>() {
        Some(ours) => match (problem, statuses.instead(ours.code())) {
            (true, instead) => ours.problem(instead.unwrap_or(ours.code().status())),
            (false, None) => return answer,
            (false, Some(status)) => {
                *answer.response_mut().status_mut() = status;
                return answer;
            }
        },
        None => framework_error(error, problem),
    };
    answer.into_response(replacement)
}

fn framework_error(error: &Error, problem: bool) -> HttpResponse {
    let status = error.as_response_error().status_code();
    let code = if status.is_server_error() {
        ErrorCode::Internal
    } else {
        ErrorCode::BadRequest
    };
    if status.is_server_error() {
        tracing::error!(%error, "answered 500");
    }
    let ours = ApiError::from(code);
    if problem {
        ours.problem(code.status())
    } else {
        HttpResponse::from_error(ours)
    }
}
