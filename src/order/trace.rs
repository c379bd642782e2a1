//! The spans of a traced attempt: reserved, appended, settled and recorded.
//!
//! A refused attempt has no spans, since they are made when the attempt is accepted. For an attempt that is not traced, the
//! functions of this module read one flag and do nothing else.

use std::time::Instant;

use super::Accepted;
use crate::{
    port::{Attempt, Outcome, Settlement},
    telemetry::{
        Span, SpanContext, SpanKind, TracedAttempt, current_span, note_attempt, traced_attempts,
    },
};

/// What a traced attempt carries on its way to the log, until its spans are made.
pub(super) struct AttemptTrace {
    request: SpanContext,
    /// Beginning and end of the call to the gate that reserved the unit.
    reserved: Option<(Instant, Instant)>,
    /// The span of the append.
    append: SpanContext,
}

impl AttemptTrace {
    /// Begins the trace of an attempt of the request that the current task answers. `None` if this request is not traced.
    pub(super) fn of_request() -> Option<Box<Self>> {
        let request = current_span()?;
        Some(Box::new(Self {
            request,
            reserved: None,
            append: request.child(),
        }))
    }

    /// Notes that the call to the gate, which began at `since`, has reserved the unit.
    pub(super) fn reserved(&mut self, since: Instant) {
        self.reserved = Some((since, Instant::now()));
    }

    /// Notes the span of the append just before the attempt is appended. The attempt's record names this span in a header.
    pub(super) fn appending(&self, attempt: &Attempt) {
        note(attempt, self.append);
    }

    /// Submits the spans of the reservation and of the append. The attempt is accepted: it is in the log, or the gate holds it and
    /// the relay will append it.
    pub(super) fn accepted(&self, accepted: &Accepted, since: Instant) {
        let request = self.request.span;
        if let Some(reserved) = self.reserved {
            let context = self.request.child();
            Span::during(
                context,
                Some(request),
                "reserve",
                SpanKind::Client,
                reserved,
            )
            .submit();
        }
        Span::new(
            self.append,
            Some(request),
            "append",
            SpanKind::Producer,
            since,
        )
        .text("flashsale.attempt.id", accepted.attempt.to_string())
        .submit();
    }
}

/// Submits a span for each traced attempt that a transaction has settled. The transaction began at `since`.
pub(super) fn settled(settlements: &[Settlement], partition: i32, since: Instant) {
    let ids = settlements.iter().map(|settlement| settlement.attempt.id.0);
    for traced in traced_attempts(ids) {
        let settlement = settlements.iter().find(|of| of.attempt.id.0 == traced.id);
        let outcome = settlement.map(|settlement| word(settlement.outcome));
        let context = traced.span.child();
        Span::new(
            context,
            Some(traced.span.span),
            "settle",
            SpanKind::Consumer,
            since,
        )
        .text("flashsale.attempt.id", traced.id.to_string())
        .text("flashsale.outcome", outcome.unwrap_or_default())
        .number("flashsale.partition", partition)
        .number("flashsale.batch.attempts", settlements.len())
        .submit();
        note_attempt(TracedAttempt {
            span: context,
            ..traced
        });
    }
}

/// Submits a span for each traced attempt whose outcome calls to the gate have recorded. The first of these calls began at
/// `since`.
pub(super) fn recorded(settlements: &[Settlement], since: Instant) {
    let ids = settlements.iter().map(|settlement| settlement.attempt.id.0);
    for traced in traced_attempts(ids) {
        let context = traced.span.child();
        Span::new(
            context,
            Some(traced.span.span),
            "record",
            SpanKind::Client,
            since,
        )
        .submit();
    }
}

fn note(attempt: &Attempt, span: SpanContext) {
    note_attempt(TracedAttempt {
        id: attempt.id.0,
        sale: attempt.sale.value(),
        user: attempt.user.value(),
        span,
    });
}

/// The name of an outcome in metrics and traces.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ordered => "ordered",
        Outcome::SoldOut => "sold_out",
        Outcome::AlreadyOrdered { .. } => "already_ordered",
        Outcome::Released => "released",
        Outcome::NoAccount => "no_account",
        Outcome::Rejected => "rejected",
    }
}
