//! Appends the attempts that hold a unit to the log, in batches, and answers their requests.

use std::{sync::Arc, time::Instant};

use futures::future::join_all;

use super::{
    Refusal,
    attempt_request::{APPEND, AttemptRequest},
    undo::Undo,
};
use crate::{
    lifecycle::Lifecycle,
    order::batcher::Batcher,
    port::{AppendError, AttemptLog, ReleaseOutcome, Reservations, zip_answers},
    telemetry::{CallDurations, LogThrottle},
};

// While a server is down, every batch fails. A line now and then is enough, since metrics count the failures.
static APPEND_THROTTLE: LogThrottle = LogThrottle::new();
static RELEASE_THROTTLE: LogThrottle = LogThrottle::new();

pub(super) fn spawn(
    lifecycle: &Lifecycle,
    log: Arc<dyn AttemptLog>,
    gate: Arc<dyn Reservations>,
    undo: Batcher<Undo>,
) -> Batcher<AttemptRequest> {
    let durations = Arc::new(CallDurations::of_appends());
    let releases = Arc::new(CallDurations::of_gate("release"));
    Batcher::spawn(
        lifecycle,
        "append",
        APPEND,
        move |batch: Vec<AttemptRequest>| {
            let (log, gate, undo) = (Arc::clone(&log), Arc::clone(&gate), undo.clone());
            let (durations, releases) = (Arc::clone(&durations), Arc::clone(&releases));
            async move {
                let attempts: Vec<_> = batch.iter().map(|asked| asked.attempt).collect();
                for asked in &batch {
                    if let Some(trace) = &asked.trace {
                        trace.appending(&asked.attempt);
                    }
                }
                let since = Instant::now();
                let answers = log.append(&attempts).await;
                durations.record(since, answers.iter().all(Result::is_ok));
                let failed = answers.iter().filter_map(|answer| answer.as_ref().err());
                if let Some(error) = failed.clone().next()
                    && APPEND_THROTTLE.allow()
                {
                    tracing::warn!(attempts = failed.count(), %error, "appending failed");
                }
                let mut not_written = Vec::new();
                for (asked, answer) in zip_answers(batch, answers) {
                    match answer {
                        Ok(()) => asked.accept(since),
                        // It stays held and pending; the relay finds out, and appends it if need be.
                        Err(AppendError::Unknown(_)) => {
                            rely_on_gate(gate.as_ref(), asked, since);
                        }
                        Err(AppendError::NotWritten(_)) => not_written.push(asked),
                    }
                }
                // Concurrently: if units went back one after the other, a batch would take minutes with a slow gate.
                let gate = (gate.as_ref(), releases.as_ref());
                let ends = not_written.into_iter();
                join_all(ends.map(|asked| give_back(gate, &undo, asked, since))).await;
            }
        },
    )
}

/// Gives back the unit of an attempt that is surely not in the log, unless a second press or the relay relies on the attempt by
/// now.
async fn give_back(
    (gate, durations): (&dyn Reservations, &CallDurations),
    undo: &Batcher<Undo>,
    asked: AttemptRequest,
    since: Instant,
) {
    let (sale, holder) = (asked.attempt.sale, asked.holder());
    match durations.measure(gate.release(sale, holder)).await {
        Ok(ReleaseOutcome::Released) => asked.answer(Err(Refusal::Unavailable)),
        // A second press was answered with this attempt, or the relay is about to append it: it counts.
        Ok(ReleaseOutcome::Claimed) => rely_on_gate(gate, asked, since),
        // The gate was emptied, or the attempt was even settled.
        Ok(ReleaseOutcome::NotHeld) => asked.answer(Err(Refusal::OutcomeUnknown)),
        Err(error) => {
            if RELEASE_THROTTLE.allow() {
                tracing::warn!(%sale, %error, "giving a unit back failed, with an unknown outcome");
            }
            let _ = undo.try_submit(Undo { sale, holder });
            asked.answer(Err(Refusal::OutcomeUnknown));
        }
    }
}

/// For an attempt that is held, and will be logged by the relay if it is not: it counts, unless the gate ends with this
/// process and the attempt with it.
fn rely_on_gate(gate: &dyn Reservations, asked: AttemptRequest, since: Instant) {
    if gate.is_durable() {
        asked.accept(since);
    } else {
        asked.answer(Err(Refusal::OutcomeUnknown));
    }
}
