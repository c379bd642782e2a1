//! The ids of a request: taken from its headers `x-request-id` and `traceparent` if these are valid, otherwise made, and sent back
//! in its answer.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::{RequestContext, RequestId, SpanContext};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The ids of a request with these headers. A header that is there twice is not valid.
pub(super) fn of_request(headers: &HeaderMap) -> RequestContext {
    let parent = only(headers, &TRACEPARENT).and_then(SpanContext::parse);
    let id = only(headers, &REQUEST_ID).and_then(RequestId::parse);
    RequestContext::new(parent, id)
}

/// Adds the ids to an answer.
pub(super) fn write(headers: &mut HeaderMap, request: &RequestContext) {
    let traceparent = request.span.traceparent();
    let id = match request.own_id() {
        Some(id) => HeaderValue::from_str(id),
        None => HeaderValue::from_bytes(SpanContext::trace_digits(&traceparent)),
    };
    // Ids have no character that a header must not have.
    if let (Ok(id), Ok(traceparent)) = (id, HeaderValue::from_bytes(&traceparent)) {
        headers.insert(REQUEST_ID, id);
        headers.insert(TRACEPARENT, traceparent);
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut all = headers.get_all(name);
    let only = all.next()?;
    all.next().is_none().then(|| only.as_bytes())
}
