//! Middleware that completes every response: counts it, adds the headers that all responses have, and gives errors of the
//! framework the API's format.

use std::{cell::RefCell, rc::Rc, time::Instant};

use actix_http::ConnectionType;
use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
};
use metrics::{Counter, Histogram, counter, histogram};
use percent_encoding::percent_decode_str;

use super::{
    ApiError, ErrorCode,
    drain::{ConnectionRequests, Draining, RequestGuard},
    error::wants_problem,
    identity,
    statuses::Statuses,
};
use crate::telemetry::{Span, metric};

/// Headers that every response has, unless it sets them itself. They forbid browsers to guess content types, to show the response
/// in a frame, to run scripts, to send its address as a referrer, and to store it. HSTS is up to the proxy that terminates TLS.
pub(super) static SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The metrics' label `route` of requests that match no route.
pub const UNMATCHED: &str = "unmatched";

/// Counts one route's responses and measures their time. Metrics are looked up once for each method and status, not for each
/// request.
pub struct RouteMetrics {
    route: &'static str,
    /// Answers other than success have no span.
    only_success_is_traced: bool,
    responses: RefCell<Vec<Responses>>,
}

/// The metrics of responses with one status to requests with one method.
struct Responses {
    method: &'static str,
    status: StatusCode,
    count: Counter,
    duration: Histogram,
}

impl RouteMetrics {
    #[must_use]
    pub fn new(route: &'static str) -> Rc<Self> {
        Rc::new(Self {
            route,
            only_success_is_traced: false,
            responses: RefCell::default(),
        })
    }

    /// The metrics of a route that refuses almost all requests. Only requests that succeed are traced.
    #[must_use]
    pub fn of_mostly_refused(route: &'static str) -> Rc<Self> {
        Rc::new(Self {
            route,
            only_success_is_traced: true,
            responses: RefCell::default(),
        })
    }

    fn traces(&self, status: StatusCode) -> bool {
        !self.only_success_is_traced || status.is_success()
    }

    fn count(&self, method: &'static str, status: StatusCode, since: Instant) {
        let mut responses = self.responses.borrow_mut();
        let is_same = |known: &Responses| known.status == status && known.method == method;
        if let Some(known) = responses.iter().find(|known| is_same(known)) {
            known.count(since);
            return;
        }
        let found = Responses::find(self.route, method, status);
        found.count(since);
        responses.push(found);
    }
}

impl Responses {
    fn find(route: &'static str, method: &'static str, status: StatusCode) -> Self {
        let code = status.as_str().to_owned();
        let class = match status.as_u16() {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        Self {
            method,
            status,
            count: counter!(metric::HTTP_REQUESTS, "method" => method, "route" => route, "status" => code),
            duration: histogram!(metric::HTTP_REQUEST_DURATION, "method" => method, "route" => route, "status_class" => class),
        }
    }

    fn count(&self, since: Instant) {
        self.count.increment(1);
        self.duration.record(since.elapsed());
    }
}

/// The label of a method. Clients may send any word as a method, so that unknown ones share a label.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The middleware around every route.
pub async fn finish<B: MessageBody + 'static>(
    metrics: Rc<RouteMetrics>,
    statuses: Statuses,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let since = Instant::now();
    let method = label(request.method());
    let route = metrics.route;
    let answer = match next.call(request).await {
        Ok(answer) => reshape(answer.map_into_boxed_body(), statuses),
        Err(error) => return Err(error),
    };
    metrics.count(method, answer.status(), since);
    if metrics.traces(answer.status())
        && let Some(span) = Span::of_request(|| format!("{method} {route}"), since)
    {
        let status = answer.status();
        span.text("http.request.method", method)
            .text("http.route", route)
            .number("http.response.status_code", status.as_u16())
            .failed_if(status.is_server_error())
            .submit();
    }
    Ok(answer)
}

/// The outermost middleware. It also completes responses that are sent before a route is chosen, as to a refused preflight
/// request.
pub(super) async fn finish_outermost<B: MessageBody + 'static>(
    draining: Draining,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let requests = request.request().conn_data::<ConnectionRequests>();
    let under_way = requests.map(ConnectionRequests::begin);
    let identity = identity::of_request(request.headers());
    let answer = async {
        let answer = if is_canonical(request.path()) {
            next.call(request).await?.map_into_boxed_body()
        } else {
            let method = label(request.method());
            RouteMetrics::new(UNMATCHED).count(method, StatusCode::NOT_FOUND, Instant::now());
            request.error_response(ApiError::from(ErrorCode::NotFound))
        };
        Ok::<_, Error>(reshape(answer, Statuses::Ours))
    };
    let mut answer = identity.clone().run(answer).await?;
    // In both cases the server reads no further request of this connection, so the client must not send one.
    let is_cut_off = under_way.as_ref().is_some_and(RequestGuard::is_cut_off);
    if is_cut_off || draining.has_begun() {
        let head = answer.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    let headers = answer.headers_mut();
    add_security_headers(headers);
    identity::write(headers, &identity);
    Ok(answer)
}

/// Most answers have none of them, and few headers altogether: they are gone through once.
fn add_security_headers(headers: &mut HeaderMap) {
    let mut is_there = [false; SECURITY_HEADERS.len()];
    for name in headers.keys() {
        let mut known = SECURITY_HEADERS.iter().zip(&mut is_there);
        if let Some((_, is_there)) = known.find(|((known, _), _)| known == name) {
            *is_there = true;
        }
    }
    for ((name, value), is_there) in SECURITY_HEADERS.iter().zip(is_there) {
        if !is_there {
            headers.insert(name.clone(), value.clone());
        }
    }
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
fn reshape(mut answer: ServiceResponse, statuses: Statuses) -> ServiceResponse {
    let Some(error) = answer.response().error() else {
        return answer;
    };
    let problem = wants_problem(answer.request().headers());
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
