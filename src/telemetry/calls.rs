//! Histograms of the time that calls to servers take.

use std::time::Instant;

use metrics::{Histogram, histogram};

use super::metric;

/// The time of one kind of call, by whether it succeeded. Looks its histograms up once.
pub struct CallDurations {
    ok: Histogram,
    error: Histogram,
}

impl CallDurations {
    /// Of calls to the gate.
    #[must_use]
    pub fn of_gate(call: &'static str) -> Self {
        Self::new(
            |outcome| histogram!(metric::GATE_CALL_DURATION, "call" => call, "outcome" => outcome),
        )
    }

    /// Of appends to the log.
    #[must_use]
    pub fn of_appends() -> Self {
        Self::new(|outcome| histogram!(metric::LOG_APPEND_DURATION, "outcome" => outcome))
    }

    /// Of transactions that settle.
    #[must_use]
    pub fn of_settling() -> Self {
        Self::new(|outcome| histogram!(metric::SETTLE_DURATION, "outcome" => outcome))
    }

    /// Of rounds of the sale controller.
    #[must_use]
    pub fn of_reconciling() -> Self {
        Self::new(|outcome| histogram!(metric::RECONCILE_DURATION, "outcome" => outcome))
    }

    fn new(of: impl Fn(&'static str) -> Histogram) -> Self {
        Self {
            ok: of("ok"),
            error: of("error"),
        }
    }

    /// Makes a call and records its time.
    pub async fn measure<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let since = Instant::now();
        let result = call.await;
        self.record(since, result.is_ok());
        result
    }

    /// Records the time of a call that was made at `since`.
    pub fn record(&self, since: Instant, is_ok: bool) {
        let histogram = if is_ok { &self.ok } else { &self.error };
        histogram.record(since.elapsed());
    }
}
