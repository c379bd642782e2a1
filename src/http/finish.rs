//! The last touch on every answer: counted, with the headers that all have, and no failure in a foreign shape.

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
    drain::{Draining, UnderWay},
    error::wants_problem,
    statuses::Statuses,
};

/// What browsers are told with every answer that does not say otherwise: no guessing of types, no frames, no scripts, no
/// address of ours to others, no copies. HSTS is for who terminates TLS.
pub(super) const SAFETY: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The name of the counter of answers, by route and status.
const REQUESTS: &str = "flashsale_http_requests_total";

/// The route of what has none.
pub const UNMATCHED: &str = "unmatched";

/// Counts one route's answers. The counters are looked up once for each status, not for each request.
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

/// The outermost middleware: also for what is answered before any route is found, as a refused preflight is.
pub(super) async fn in_shape<B: MessageBody + 'static>(
    draining: Draining,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let problem = wants_problem(request.headers());
    let under_way = request.request().conn_data::<UnderWay>();
    let under_way = under_way.map(|all| (all.clone(), all.begin()));
    let answer = if is_canonical(request.path()) {
        next.call(request).await?.map_into_boxed_body()
    } else {
        RouteMetrics::new(UNMATCHED).count(StatusCode::NOT_FOUND);
        request.error_response(ApiError::from(ErrorCode::NotFound))
    };
    let mut answer = reshape(answer, problem, Statuses::Ours);
    // Nothing more is read then, and a client must not send its next request.
    let is_cut_off = under_way.as_ref().is_some_and(|(all, _)| all.is_cut_off());
    if is_cut_off || draining.has_begun() {
        let head = answer.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    let headers = answer.headers_mut();
    for (name, value) in SAFETY {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    Ok(answer)
}

/// Behind these comes an id, and nothing else.
const ID_PATHS: [&str; 2] = ["/api/flash-sale/attempt/", "/api/orders/status/"];
/// The path that tells every shopper of the sale, and whose letters clients escape. An attempt or a login has one spelling only:
/// a proxy may limit it by its path.
const STATUS_PATH: &str = "/api/flash-sale/status";

/// Whether a path is written in the only way that is answered (RFC 3986, 6.2.2): no empty segment, none that stands for another,
/// no escape of a letter that needs none. The router would decode `/%6detrics`, and a proxy that keeps `/metrics` inside may not.
/// Some clients escape every letter of an id, and of the path that is asked for most: there an escape hides nothing.
///
/// Escapes of other letters are in none of our paths; what comes in the place of an id is looked at there.
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

/// Gives a failure the shape that was asked for, and one of the framework's the shape that ours have.
fn reshape(mut answer: ServiceResponse, problem: bool, statuses: Statuses) -> ServiceResponse {
    let Some(error) = answer.response().error() else {
        return answer;
    };
    let better = match error.as_error::<ApiError>() {
        Some(ours) => match (problem, statuses.instead(ours.code())) {
            (true, instead) => ours.problem(instead.unwrap_or(ours.code().status())),
            (false, None) => return answer,
            (false, Some(status)) => {
                *answer.response_mut().status_mut() = status;
                return answer;
            }
        },
        None => foreign(error, problem),
    };
    answer.into_response(better)
}

fn foreign(error: &Error, problem: bool) -> HttpResponse {
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
