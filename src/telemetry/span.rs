//! Spans: what was done in a trace, from when to when.

use std::time::{Duration, Instant, SystemTime};

use super::trace_context::{SpanContext, SpanId};

/// What a span is to those beside it, with OTLP's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Asks a server.
    Client = 3,
    /// Writes a record.
    Producer = 4,
    /// Works on a record.
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanValue {
    Text(String),
    Number(i64),
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    pub(super) context: SpanContext,
    pub(super) parent: Option<SpanId>,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) attributes: Vec<(&'static str, SpanValue)>,
    pub(super) is_error: bool,
}

impl Span {
    /// What took from `since` until now.
    #[must_use]
    pub fn new(
        context: SpanContext,
        parent: Option<SpanId>,
        name: impl Into<String>,
        kind: SpanKind,
        since: Instant,
    ) -> Self {
        Self::during(context, parent, name, kind, (since, Instant::now()))
    }

    /// A span with a given start and end.
    #[must_use]
    pub fn during(
        context: SpanContext,
        parent: Option<SpanId>,
        name: impl Into<String>,
        kind: SpanKind,
        (from, to): (Instant, Instant),
    ) -> Self {
        let (now, at) = (SystemTime::now(), Instant::now());
        let before = |moment: Instant| now - at.saturating_duration_since(moment);
        let start = before(from);
        Self {
            context,
            parent,
            name: name.into(),
            kind,
            start,
            // Not before its start, whatever the clock did.
            end: before(to).max(start + Duration::from_nanos(1)),
            attributes: Vec::new(),
            is_error: false,
        }
    }

    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, SpanValue::Text(value.into())));
        self
    }

    #[must_use]
    pub fn number(mut self, name: &'static str, value: impl TryInto<i64>) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.attributes.push((name, SpanValue::Number(value)));
        self
    }

    #[must_use]
    pub fn failed_if(mut self, is_error: bool) -> Self {
        self.is_error = is_error;
        self
    }
}
