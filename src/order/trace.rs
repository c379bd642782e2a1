//! The spans of a traced attempt: reserved, appended, settled and recorded.
//!
//! A refused attempt has none: its spans are made when it is accepted. Attempts without a trace cost a look at one flag.

use std::time::Instant;

use super::Accepted;
use crate::{
    port::{Attempt, Outcome, Settlement},
    telemetry::{
        Span, SpanContext, SpanKind, TracedAttempt, current_span, note_attempt, traced_attempts,
    },
};

/// What is known of a traced attempt on its way to the log.
pub(super) struct AttemptTrace {
    request: SpanContext,
    /// The call to the gate.
    reserved: Option<(Instant, Instant)>,
    append: SpanContext,
}

impl AttemptTrace {
    /// Of the request that the current task answers, if it is traced.
    pub(super) fn of_request() -> Option<Box<Self>> {
        let request = current_span()?;
        Some(Box::new(Self {
            request,
            reserved: None,
            append: request.child(),
        }))
    }

    pub(super) fn reserved(&mut self, since: Instant) {
        self.reserved = Some((since, Instant::now()));
    }

    /// The attempt is about to be appended: its record names the span.
    pub(super) fn appending(&self, attempt: &Attempt) {
        note(attempt, self.append);
    }

    /// The attempt is in the log, or counts by the gate's word.
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

/// Notes that traced attempts of a transaction, which began at `since`, are settled.
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

/// Notes that the outcomes of traced attempts are recorded in the gate, by calls that began at `since`.
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

/// How metrics and traces name an outcome.
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
