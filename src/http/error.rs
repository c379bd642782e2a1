//! The body of error responses: the API's own JSON, or problem details (RFC 9457) if the client asks for them.

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ErrorCode, timestamp};

/// The body of [`ErrorCode::SoldOut`], written once: almost all shoppers get it in the second in which a sale opens.
const SOLD_OUT: &str = r#"{"success":false,"error":"Conflict","message":"Sorry, the item is out of stock.","code":"sold_out"}"#;

/// An error response. It holds only what the client may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    message: Cow<'static, str>,
    /// The value of the header `Allow`: the methods that the path takes.
    allow: Option<Box<str>>,
    /// The value of `Retry-After` in seconds; [`ErrorCode::retry_after_secs`] if `None`.
    retry_after: Option<u64>,
    /// Of a sale that has not started: its start, and the server's time.
    starts: Option<Box<Starts>>,
    /// Of events that are not kept: the number of the first one that is.
    first_sequence: Option<u64>,
}

/// When a sale starts, and what the server's time is, both as they are written in answers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Starts {
    at: String,
    server_time: String,
}

/// What a failed request is answered with.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody<'a> {
    /// Always false.
    #[schema(example = false)]
    success: bool,
    /// The category.
    #[schema(example = "Conflict")]
    error: &'a str,
    /// For people; it may change.
    #[schema(example = "Sorry, the item is out of stock.")]
    message: &'a str,
    /// For programs; it does not change. Later versions may add codes: handle an unknown one by the status of the answer.
    #[schema(example = "sold_out")]
    code: &'a str,
    /// With `not_started`: when the sale starts.
    #[serde(rename = "startsAt", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2024-01-01T00:00:00.000Z")]
    starts_at: Option<&'a str>,
    /// With `not_started`: the server's time, so that a page counts down without a clock of its own.
    #[serde(rename = "serverTime", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2023-12-31T23:59:30.000Z")]
    server_time: Option<&'a str>,
    /// With `events_gone`: the number of the first event that is kept.
    #[serde(rename = "firstSequence", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 57)]
    first_sequence: Option<u64>,
}

/// The same for `Accept: application/problem+json` (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemBody<'a> {
    #[serde(rename = "type")]
    #[schema(example = "urn:flashsale:error:sold_out")]
    kind: String,
    #[schema(example = "Conflict")]
    title: &'a str,
    #[schema(example = 409)]
    status: u16,
    #[schema(example = "Sorry, the item is out of stock.")]
    detail: &'a str,
    #[serde(flatten)]
    body: ErrorBody<'a>,
}

impl ApiError {
    /// An error with this message instead of the code's usual one.
    pub fn saying(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            allow: None,
            retry_after: None,
            starts: None,
            first_sequence: None,
        }
    }

    /// The same with the start of the sale that it is about. It is worth asking again then: `Retry-After` is the whole seconds until
    /// the start, rounded up, and at least 1.
    #[must_use]
    pub fn starting(self, at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            retry_after: Some(whole_secs((at - now).to_std().unwrap_or_default())),
            starts: Some(Box::new(Starts {
                at: timestamp(at),
                server_time: timestamp(now),
            })),
            ..self
        }
    }

    /// The same of events, with the number of the first one that is kept.
    #[must_use]
    pub fn with_first_sequence(self, number: u64) -> Self {
        Self {
            first_sequence: Some(number),
            ..self
        }
    }

    /// The same, to be tried again after this time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(whole_secs(wait)),
            ..self
        }
    }

    /// A refusal by a rate limit. `Retry-After` is `wait` rounded up to whole seconds, at least 1, so that the limit admits a
    /// client that waits for this time.
    #[must_use]
    pub fn too_many(wait: Duration) -> Self {
        Self {
            retry_after: Some(whole_secs(wait)),
            ..ErrorCode::TooManyRequests.into()
        }
    }

    /// A request whose method is not in `allow`, the list of methods that the path takes.
    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        Self {
            allow: Some(allow.into()),
            ..ErrorCode::MethodNotAllowed.into()
        }
    }

    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    #[must_use]
    pub fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            success: false,
            error: self.code.category(),
            message: &self.message,
            code: self.code.code(),
            starts_at: self.starts.as_ref().map(|starts| starts.at.as_str()),
            server_time: self
                .starts
                .as_ref()
                .map(|starts| starts.server_time.as_str()),
            first_sequence: self.first_sequence,
        }
    }

    /// The response with problem details (RFC 9457).
    pub(super) fn problem(&self, status: StatusCode) -> HttpResponse {
        let problem = ProblemBody {
            kind: format!("urn:flashsale:error:{}", self.code.code()),
            title: self.code.category(),
            status: status.as_u16(),
            detail: &self.message,
            body: self.body(),
        };
        self.answer(
            status,
            "application/problem+json",
            serde_json::to_string(&problem).unwrap_or_default(),
        )
    }

    fn json(&self) -> HttpResponse {
        let body = match self.code {
            ErrorCode::SoldOut => Cow::Borrowed(SOLD_OUT),
            _ => serde_json::to_string(&self.body())
                .unwrap_or_default()
                .into(),
        };
        self.answer(self.code.status(), "application/json", body)
    }

    fn answer(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Cow<'static, str>>,
    ) -> HttpResponse {
        let mut answer = HttpResponse::build(status);
        answer.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        if let Some(secs) = self
            .retry_after
            .or(self.code.retry_after_secs().map(u64::from))
        {
            answer.insert_header((header::RETRY_AFTER, HeaderValue::from(secs)));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            let scheme = match self.code {
                ErrorCode::InvalidClient => "Basic realm=\"flashsale\"",
                _ => "Bearer",
            };
            answer.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme)));
        }
        if let Some(allow) = self.allow.as_deref().map(HeaderValue::from_str) {
            answer.insert_header((header::ALLOW, allow.unwrap_or(HeaderValue::from_static(""))));
        }
        // The rest of the body has not been read; on an open connection it would be taken for the next request.
        if matches!(
            self.code,
            ErrorCode::RequestTimeout | ErrorCode::BodyTooLarge
        ) {
            answer.force_close();
        }
        match body.into() {
            Cow::Borrowed(text) => answer.body(text),
            Cow::Owned(text) => answer.body(text),
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::saying(code, code.message())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.code(), self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.json()
    }
}

/// A wait in whole seconds, rounded up and at least 1: after it, the request may succeed.
fn whole_secs(wait: Duration) -> u64 {
    let begun = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(begun).max(1)
}

/// Whether the client accepts `application/problem+json`. Quality values are ignored: a client that names this type wants it.
pub(super) fn wants_problem(headers: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| {
        let mut ranges = value.to_str().unwrap_or_default().split(',');
        ranges.any(|range| {
            let name = range.split(';').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("application/problem+json")
        })
    };
    headers.get_all(header::ACCEPT).any(accepts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_body_of_sold_out_equals_the_serialized_one() {
        let error = ApiError::from(ErrorCode::SoldOut);
        assert_eq!(serde_json::to_string(&error.body()).unwrap(), SOLD_OUT);
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let retry_after = |wait| {
            let answer = ApiError::too_many(wait).error_response();
            answer
                .headers()
                .get(header::RETRY_AFTER)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        for (millis, secs) in [
            (0, "1"),
            (1, "1"),
            (1_000, "1"),
            (1_001, "2"),
            (45_000, "45"),
        ] {
            let wait = Duration::from_millis(millis);
            assert_eq!(retry_after(wait), secs, "{millis} ms");
        }
        assert_eq!(retry_after(Duration::from_nanos(1_000_000_001)), "2");
    }

    #[test]
    fn a_sale_that_has_not_started_says_when_it_starts() {
        let at = |millis: i64| DateTime::from_timestamp_millis(1_704_067_200_000 + millis).unwrap();
        let told = |now| {
            let error = ApiError::from(ErrorCode::NotStarted).starting(at(0), now);
            let answer = error.error_response();
            let wait = answer.headers().get(header::RETRY_AFTER).unwrap().clone();
            let body = serde_json::to_value(error.body()).unwrap();
            (wait.to_str().unwrap().to_owned(), body)
        };
        let (wait, body) = told(at(-29_001));
        assert_eq!(wait, "30", "nobody who waits so long comes too early");
        assert_eq!(body["startsAt"], "2024-01-01T00:00:00.000Z");
        assert_eq!(body["serverTime"], "2023-12-31T23:59:30.999Z");
        assert_eq!(told(at(0)).0, "1");
        assert_eq!(told(at(5)).0, "1", "it has started meanwhile");
    }

    #[test]
    fn problem_details_are_sent_if_the_client_names_their_type() {
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_problem(&headers)
        };
        assert!(asks("application/problem+json"));
        assert!(asks(
            "application/json;q=0.5, Application/Problem+JSON;q=0.9"
        ));
        assert!(!asks("application/json"));
        assert!(!asks("*/*"));
        assert!(!wants_problem(&HeaderMap::new()));
    }
}
