//! Decides which requests are traced, takes their spans, and knows the span of each traced attempt that is under way.
//!
//! Without `OTLP_ENDPOINT` there is no tracer: nothing is sampled, and every function here returns at once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics::{Counter, counter};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    metric,
    span::Span,
    trace_context::{SpanContext, SpanId, TraceId},
};

/// Spans that wait to be exported; more are dropped.
const MAX_WAITING: usize = 4_096;
/// Traced attempts that are known at a time; the oldest is forgotten for a new one.
const MAX_ATTEMPTS: usize = 4_096;

static TRACER: OnceLock<Tracer> = OnceLock::new();

struct Tracer {
    /// Of traces that begin here, those are sampled whose bits are below it.
    bound: u64,
    spans: mpsc::Sender<Span>,
    dropped: Counter,
    has_attempts: AtomicBool,
    attempts: Mutex<Attempts>,
}

/// A traced attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedAttempt {
    pub id: Uuid,
    pub sale: i64,
    pub user: i64,
    /// The last span of it: the parent of the next.
    pub span: SpanContext,
}

/// Traced attempts by id and by shopper, in the order in which they came.
#[derive(Default)]
struct Attempts {
    by_id: HashMap<Uuid, TracedAttempt>,
    by_shopper: HashMap<(i64, i64), Uuid>,
    order: VecDeque<Uuid>,
}

/// Switches tracing on, with this share of the traces that begin here. Returns the queue of spans; `None` if it is on already.
pub(super) fn start(ratio: f64) -> Option<mpsc::Receiver<Span>> {
    let (spans, waiting) = mpsc::channel(MAX_WAITING);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // saturates: 1 is all
    let bound = (ratio * u64::MAX as f64) as u64;
    let tracer = Tracer {
        bound,
        spans,
        dropped: counter!(metric::TRACE_SPANS, "outcome" => "dropped"),
        has_attempts: AtomicBool::new(false),
        attempts: Mutex::default(),
    };
    TRACER.set(tracer).ok().map(|()| waiting)
}

/// The span of a request that arrives. If it names a span, that one's flag decides whether it is sampled.
pub(super) fn begin(parent: Option<SpanContext>) -> SpanContext {
    let trace = parent.map_or_else(TraceId::generate, |parent| parent.trace);
    let is_sampled = TRACER.get().is_some_and(|tracer| match parent {
        Some(parent) => parent.is_sampled,
        None => is_below(trace, tracer.bound),
    });
    SpanContext {
        trace,
        span: SpanId::generate(),
        is_sampled,
    }
}

/// The highest two bits of the low half of a random UUID are fixed.
fn is_below(trace: TraceId, bound: u64) -> bool {
    bound == u64::MAX || trace.low_bits() << 2 < bound
}

/// Whether requests may be traced at all.
pub(super) fn is_on() -> bool {
    TRACER.get().is_some()
}

impl Span {
    /// Passes it on to be exported, or drops it if too many wait.
    pub fn submit(self) {
        if let Some(tracer) = TRACER.get()
            && tracer.spans.try_send(self).is_err()
        {
            tracer.dropped.increment(1);
        }
    }
}

/// Notes the span of a traced attempt, so that what happens to it next finds its parent.
pub fn note_attempt(attempt: TracedAttempt) {
    let Some(tracer) = TRACER.get() else {
        return;
    };
    if attempt.span.is_sampled {
        tracer.attempts(|attempts| attempts.insert(attempt));
        tracer.has_attempts.store(true, Ordering::Release);
    }
}

/// The traced ones among these attempts. Costs nothing while none is traced.
#[must_use]
pub fn traced_attempts(ids: impl Iterator<Item = Uuid>) -> Vec<TracedAttempt> {
    match tracer_with_attempts() {
        None => Vec::new(),
        Some(tracer) => tracer.attempts(|attempts| {
            ids.filter_map(|id| attempts.by_id.get(&id).copied())
                .collect()
        }),
    }
}

/// The last traced attempt of a shopper in a sale.
#[must_use]
pub fn traced_attempt_of(sale: i64, user: i64) -> Option<TracedAttempt> {
    tracer_with_attempts()?.attempts(|attempts| {
        let id = attempts.by_shopper.get(&(sale, user))?;
        attempts.by_id.get(id).copied()
    })
}

fn tracer_with_attempts() -> Option<&'static Tracer> {
    let tracer = TRACER.get()?;
    tracer
        .has_attempts
        .load(Ordering::Acquire)
        .then_some(tracer)
}

impl Tracer {
    fn attempts<T>(&self, with: impl FnOnce(&mut Attempts) -> T) -> T {
        with(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Attempts {
    fn insert(&mut self, attempt: TracedAttempt) {
        let id = attempt.id;
        if self.by_id.insert(id, attempt).is_none() {
            self.order.push_back(id);
        }
        self.by_shopper.insert((attempt.sale, attempt.user), id);
        if self.order.len() > MAX_ATTEMPTS
            && let Some(oldest) = self.order.pop_front()
            && let Some(oldest) = self.by_id.remove(&oldest)
        {
            let shopper = (oldest.sale, oldest.user);
            if self.by_shopper.get(&shopper) == Some(&oldest.id) {
                self.by_shopper.remove(&shopper);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_below_the_bound() {
        let below = |bound| {
            (0..20_000)
                .filter(|_| is_below(TraceId::generate(), bound))
                .count()
        };
        assert_eq!((below(0), below(u64::MAX)), (0, 20_000));
        let tenth = below(u64::MAX / 10);
        assert!((1_700..2_300).contains(&tenth), "{tenth}");
    }

    #[test]
    fn the_oldest_attempt_is_forgotten_for_a_new_one() {
        let mut attempts = Attempts::default();
        let span = begin(None);
        let attempt = |user| TracedAttempt {
            id: Uuid::from_u128(u128::try_from(user).unwrap()),
            sale: 1,
            user,
            span,
        };
        let more = i64::try_from(MAX_ATTEMPTS).unwrap() + 10;
        for user in 0..more {
            attempts.insert(attempt(user));
            attempts.insert(attempt(user));
        }
        assert_eq!(attempts.by_id.len(), MAX_ATTEMPTS);
        assert_eq!(attempts.by_shopper.len(), MAX_ATTEMPTS);
        assert!(!attempts.by_shopper.contains_key(&(1, 9)));
        assert!(attempts.by_shopper.contains_key(&(1, 10)));
    }

    #[test]
    fn without_an_endpoint_nothing_is_sampled() {
        let parent = SpanContext {
            is_sampled: true,
            ..begin(None)
        };
        let span = begin(Some(parent));
        assert!(!span.is_sampled);
        assert_eq!(span.trace, parent.trace);
    }
}
