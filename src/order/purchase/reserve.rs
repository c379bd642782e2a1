//! Asks the gate for units, for all waiting attempts together, and passes on the attempts that got one.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::sync::mpsc;

use super::{
    Accepted, Refusal,
    attempt_request::{APPEND, AttemptRequest, RESERVE},
};
use crate::{
    ids::SaleId,
    lifecycle::Lifecycle,
    order::batcher::Batcher,
    order::purchase::undo::Undo,
    port::{GateError, Reservations, ReserveOutcome, Standing, zip_answers},
    telemetry::{CallDurations, LogThrottle},
};

// While a server is down, every batch fails. A line now and then is enough, since metrics count the failures.
static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// Longest time for which an attempt may wait until the gate is asked. The answer then takes a command's timeout at most.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Longest time for which the next batch waits until all attempts of this batch are answered, including their append to the log.
/// The wait makes the next batch larger, which costs gate and log less; its first attempts would have waited for the log anyway.
/// After a full batch, there is no wait.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

const _: () = assert!(
    APPEND.waiting > RESERVE.batch,
    "a whole batch can be passed on"
);

pub(super) fn spawn(
    lifecycle: &Lifecycle,
    gate: Arc<dyn Reservations>,
    append: Batcher<AttemptRequest>,
    undo: Batcher<Undo>,
) -> Batcher<AttemptRequest> {
    let durations = Arc::new(CallDurations::of_gate("reserve"));
    Batcher::spawn(
        lifecycle,
        "reserve",
        RESERVE,
        move |batch: Vec<AttemptRequest>| {
            let (gate, append, undo) = (Arc::clone(&gate), append.clone(), undo.clone());
            let durations = Arc::clone(&durations);
            async move {
                let is_full = batch.len() == RESERVE.batch;
                let (round, mut all_answered) = mpsc::channel(1);
                let mut by_sale: BTreeMap<SaleId, Vec<AttemptRequest>> = BTreeMap::new();
                for mut asked in batch {
                    // If the gate is slow, an attempt that has waited for too long is refused rather than served late.
                    if asked.since.elapsed() > LONGEST_WAIT {
                        asked.answer(Err(Refusal::Busy));
                        continue;
                    }
                    asked.round = Some(round.clone());
                    by_sale.entry(asked.attempt.sale).or_default().push(asked);
                }
                drop(round);
                // Sales are asked concurrently, so that none waits for the timeout of another one's call.
                let (gate, append, undo) = ((gate.as_ref(), durations.as_ref()), &append, &undo);
                let reserves = by_sale
                    .into_iter()
                    .map(|(sale, asked)| reserve(gate, append, undo, sale, asked));
                join_all(reserves).await;
                if !is_full {
                    let _ = tokio::time::timeout(LONGEST_PAUSE, all_answered.recv()).await;
                }
            }
        },
    )
}

async fn reserve(
    (gate, durations): (&dyn Reservations, &CallDurations),
    append: &Batcher<AttemptRequest>,
    undo: &Batcher<Undo>,
    sale: SaleId,
    mut asked: Vec<AttemptRequest>,
) {
    let holders: Vec<_> = asked.iter().map(AttemptRequest::holder).collect();
    let since = Instant::now();
    let outcomes = match durations.measure(gate.reserve(sale, &holders)).await {
        Ok(outcomes) => outcomes,
        Err(GateError::Refused(cause)) => {
            if LOG_THROTTLE.allow() {
                tracing::warn!(%sale, attempts = asked.len(), cause, "the gate refused");
            }
            for asked in asked {
                asked.answer(Err(Refusal::Unavailable));
            }
            return;
        }
        Err(error) => {
            if LOG_THROTTLE.allow() {
                tracing::warn!(%sale, attempts = asked.len(), %error, "reserving failed, with an unknown outcome");
            }
            for holder in holders {
                // If the queue is full, the relay later finds the units that are held.
                let _ = undo.try_submit(Undo { sale, holder });
            }
            for asked in asked {
                asked.answer(Err(Refusal::OutcomeUnknown));
            }
            return;
        }
    };
    for trace in asked.iter_mut().filter_map(|asked| asked.trace.as_mut()) {
        trace.reserved(since);
    }
    for (asked, outcome) in zip_answers(asked, outcomes) {
        match outcome {
            // The second case: the gate answered this reservation before, and the answer was lost on the way.
            ReserveOutcome::Reserved => pass_on(append, asked).await,
            ReserveOutcome::AlreadyHeld { attempt, .. } if attempt == asked.attempt.id => {
                pass_on(append, asked).await;
            }
            // The attempt that holds the unit may still be on its way to the log, and a gate that ends with this process
            // is no proof of it. Logged twice, it counts once.
            ReserveOutcome::AlreadyHeld {
                attempt,
                standing: Standing::Pending,
            } if !gate.is_durable() => {
                pass_on(append, asked.about(attempt)).await;
            }
            ReserveOutcome::AlreadyHeld { attempt, standing } => {
                asked.answer(Ok(Accepted { attempt, standing }));
            }
            ReserveOutcome::SoldOut => asked.answer(Err(Refusal::SoldOut)),
            ReserveOutcome::NotStarted => asked.answer(Err(Refusal::NotStarted)),
            ReserveOutcome::Ended => asked.answer(Err(Refusal::Ended)),
            ReserveOutcome::Paused => asked.answer(Err(Refusal::Paused)),
            ReserveOutcome::Closed => asked.answer(Err(Refusal::Preparing)),
        }
    }
}

/// Passes an attempt on to the log. The attempt is pending in the gate: if the appending task has ended, the relay of a worker
/// finds the attempt there.
async fn pass_on(append: &Batcher<AttemptRequest>, asked: AttemptRequest) {
    if let Err(asked) = append.submit(asked).await {
        asked.answer(Err(Refusal::OutcomeUnknown));
    }
}
