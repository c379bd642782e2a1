//! The request that the current task answers: its ids, for its log lines, its answer and its trace.
//!
//! They are kept beside the task and read when a line is written. A request that logs nothing costs no span.

use std::{fmt, time::Instant};

use super::{
    span::{Span, SpanKind},
    trace_context::{SpanContext, SpanId},
    tracer,
};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The ids of a request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The span of the answer.
    pub span: SpanContext,
    /// The span that the client named, of which this one is a child.
    pub parent: Option<SpanId>,
    /// The id that the client gave. Otherwise the id of the trace stands for it.
    request_id: Option<RequestId>,
}

/// An id that a client gave to a request: 1 to 128 letters, digits and `-_.:/+=@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

/// Longest id that is taken.
const LONGEST: usize = 128;

impl RequestId {
    /// `None` if it is not valid: the receiver then gives the request an id.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        if header.is_empty() || header.len() > LONGEST || !header.iter().all(is_safe) {
            return None;
        }
        Some(Self(std::str::from_utf8(header).ok()?.into()))
    }
}

impl RequestContext {
    /// The context of a request that names this span, if any, and gives itself this id. Without a parent, head sampling decides
    /// whether it is traced.
    #[must_use]
    pub fn new(parent: Option<SpanContext>, request_id: Option<RequestId>) -> Self {
        Self {
            span: tracer::begin(parent),
            parent: parent.map(|parent| parent.span),
            request_id,
        }
    }

    /// The id that the client gave.
    #[must_use]
    pub fn own_id(&self) -> Option<&str> {
        self.request_id.as_ref().map(|RequestId(id)| id.as_ref())
    }

    /// Runs the future as the answer to this request.
    pub async fn run<F: Future>(self, answer: F) -> F::Output {
        CURRENT.scope(self, answer).await
    }
}

/// Calls a function with the context of the request that the current task answers.
fn with_current<T>(read: impl FnOnce(&RequestContext) -> T) -> Option<T> {
    CURRENT.try_with(read).ok()
}

/// The span of the request that the current task answers, and the span that the client named. `None` if it is not traced.
fn traced_request() -> Option<(SpanContext, Option<SpanId>)> {
    if !tracer::is_on() {
        return None;
    }
    let ids = with_current(|request| (request.span, request.parent))?;
    Some(ids).filter(|(span, _)| span.is_sampled)
}

/// The span of the request that the current task answers, if it is traced.
#[must_use]
pub fn current_span() -> Option<SpanContext> {
    traced_request().map(|(span, _)| span)
}

impl Span {
    /// The span of the request that the current task answers, and began at `since`. `None` if it is not traced.
    #[must_use]
    pub fn of_request(name: impl FnOnce() -> String, since: Instant) -> Option<Self> {
        let (context, parent) = traced_request()?;
        Some(Self::new(context, parent, name(), SpanKind::Server, since))
    }
}

/// The ids of the current request as fields of a JSON object: `"request_id":"…","trace_id":"…"`.
pub(super) fn write_json(to: &mut impl fmt::Write) -> fmt::Result {
    let write = |request: &RequestContext| {
        let trace = request.span.trace;
        match request.own_id() {
            Some(id) => write!(to, r#","request_id":"{id}","trace_id":"{trace}""#),
            None => write!(to, r#","request_id":"{trace}","trace_id":"{trace}""#),
        }
    };
    with_current(write).unwrap_or(Ok(()))
}

/// The same for a line of text.
pub(super) fn write_text(to: &mut impl fmt::Write) -> fmt::Result {
    let write = |request: &RequestContext| {
        let trace = request.span.trace;
        match request.own_id() {
            Some(id) => write!(to, " request_id={id} trace_id={trace}"),
            None => write!(to, " request_id={trace}"),
        }
    };
    with_current(write).unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_line_is_refused() {
        for good in ["a", "7f3c-11_x.y:z/+=@", &"x".repeat(LONGEST)] {
            assert_eq!(
                RequestId::parse(good.as_bytes()),
                Some(RequestId(good.into()))
            );
        }
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", "a b", "a\"b", "a\nb", "a\\b", "a{b", "ä", &long] {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
