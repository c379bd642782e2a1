//! The shoppers' results: read from the gate in batches, and written for shoppers who were refused.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::{Instant, sleep_until};

use super::{
    batcher::{Batcher, Limits},
    reply_queue::{ReplyQueue, Responder},
};
use crate::{
    ids::{ProductId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{GateError, PurchaseResult, ResultEntry, ResultQuery, ShopperResults, zip_answers},
    sale::SaleCatalog,
    telemetry::{CallDurations, LogThrottle, metric},
};

// While the gate is down every batch fails. A line now and then is enough: `flashsale_results_lost_total` counts the results.
static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// Limits for the results of refused shoppers that wait to be written.
const REFUSED: Limits = Limits {
    waiting: 65_536,
    batch: 512,
};
/// The least time between the beginnings of two calls that write results of refused shoppers. These shoppers have their answer; with a
/// call for every few of them, the calls cost more than the results. A result that comes after a longer break is written at once.
const SPACING: Duration = Duration::from_millis(2);

/// Limits for requests that wait for a result. Further requests are answered with [`GateError::Refused`].
const REQUESTS: Limits = Limits {
    waiting: 16_384,
    batch: 4_096,
};
/// A request that has waited longer when its batch begins is refused. The gate's timeouts bound the time after that.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Reads results, in batches if the gate prefers that, and writes the results of refused shoppers after they were answered.
pub struct Results {
    gate: Arc<dyn ShopperResults>,
    catalog: Arc<SaleCatalog>,
    requests: Batcher<ResultRequest>,
    refused: Batcher<ResultEntry>,
}

/// A shopper's query, and the responder for its answer.
struct ResultRequest {
    query: ResultQuery,
    since: Instant,
    answer: Responder<Result<Option<PurchaseResult>, GateError>>,
}

impl Results {
    /// Starts the tasks that read and write.
    pub fn start(
        lifecycle: &Lifecycle,
        gate: Arc<dyn ShopperResults>,
        catalog: Arc<SaleCatalog>,
    ) -> Self {
        let refused = write_refused(lifecycle, Arc::clone(&gate));
        let reader = Arc::clone(&gate);
        let durations = Arc::new(CallDurations::of_gate("read_results"));
        let requests = Batcher::spawn(
            lifecycle,
            "questions",
            REQUESTS,
            move |batch: Vec<ResultRequest>| {
                let (gate, durations) = (Arc::clone(&reader), Arc::clone(&durations));
                async move { answer_batch(gate.as_ref(), &durations, batch).await }
            },
        );
        Self {
            gate,
            catalog,
            requests,
            refused,
        }
    }

    /// The shopper's result for a product; `None` while there is none. A batched request waits for the batch before it, and is
    /// refused if that took longer than 1 s; after that the gate's timeouts bound the wait.
    pub async fn of(
        &self,
        replies: &ReplyQueue,
        user: UserId,
        product: ProductId,
    ) -> Result<Option<PurchaseResult>, GateError> {
        let query = ResultQuery {
            user,
            product,
            sale: self.catalog.latest_sale_of(product),
        };
        if !self.gate.prefers_batched_reads() {
            return self.gate.read_result(user, product, query.sale).await;
        }
        let (answer, answered) = replies.slot();
        let since = Instant::now();
        let request = ResultRequest {
            query,
            since,
            answer,
        };
        let full = |_| GateError::Refused("too many questions are waiting".to_owned());
        self.requests.try_submit(request).map_err(full)?;
        let lost = |_| GateError::Unknown("the question was not answered".to_owned());
        answered.await.map_err(lost)?
    }

    /// Queues the result of a shopper who was already answered with the refusal. The result is lost if the queue is full.
    pub(super) fn refused(&self, user: UserId, product: ProductId, sale: SaleId) {
        let entry = ResultEntry {
            sale,
            product,
            user,
            result: PurchaseResult::Failed,
        };
        if self.refused.try_submit(entry).is_err() {
            counter!(metric::RESULTS_LOST).increment(1);
        }
    }
}

/// Starts the task that writes the results of refused shoppers.
fn write_refused(lifecycle: &Lifecycle, gate: Arc<dyn ShopperResults>) -> Batcher<ResultEntry> {
    let durations = Arc::new(CallDurations::of_gate("write_results"));
    Batcher::spawn(
        lifecycle,
        "results",
        REFUSED,
        move |batch: Vec<ResultEntry>| {
            let (gate, durations) = (Arc::clone(&gate), Arc::clone(&durations));
            async move {
                let next = Instant::now() + SPACING;
                if let Err(error) = durations.measure(gate.write_results(&batch)).await {
                    counter!(metric::RESULTS_LOST).increment(batch.len() as u64);
                    if LOG_THROTTLE.allow() {
                        tracing::warn!(results = batch.len(), %error, "results of refused shoppers were not written");
                    }
                }
                sleep_until(next).await;
            }
        },
    )
}

/// Answers the requests of a batch that still wait. Those that waited for too long are refused.
async fn answer_batch(
    gate: &dyn ShopperResults,
    durations: &CallDurations,
    batch: Vec<ResultRequest>,
) {
    let (batch, late): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .filter(|request| !request.answer.is_closed())
        .partition(|request| request.since.elapsed() <= LONGEST_WAIT);
    for request in late {
        let error = GateError::Refused("the questions before took too long".to_owned());
        request.answer.send(Err(error));
    }
    let queries: Vec<_> = batch.iter().map(|request| request.query).collect();
    let since = std::time::Instant::now();
    let answers = gate.read_results(&queries).await;
    durations.record(since, answers.iter().all(Result::is_ok));
    for (request, answer) in zip_answers(batch, answers) {
        request.answer.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;

    /// Notes when results are written, in milliseconds since its making, and how many.
    struct Notes {
        made: Instant,
        calls: Mutex<Vec<(u128, usize)>>,
    }

    #[async_trait]
    impl ShopperResults for Notes {
        fn prefers_batched_reads(&self) -> bool {
            true
        }

        async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
            let call = (self.made.elapsed().as_millis(), results.len());
            self.calls.lock().unwrap().push(call);
            Ok(())
        }

        async fn read_result(
            &self,
            _: UserId,
            _: ProductId,
            _: Option<SaleId>,
        ) -> Result<Option<PurchaseResult>, GateError> {
            Ok(None)
        }

        async fn forget_results(&self, _: &[ResultEntry]) -> Result<(), GateError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_written_as_far_apart_as_they_are_to_and_the_first_at_once() {
        let gate = Arc::new(Notes {
            made: Instant::now(),
            calls: Mutex::default(),
        });
        let lifecycle = Lifecycle::default();
        let refused = write_refused(&lifecycle, gate.clone());
        let entry = ResultEntry {
            sale: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(1).unwrap(),
            result: PurchaseResult::Failed,
        };
        for pause in [0, 1, 0, 0, 9, 0] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            refused.try_submit(entry).unwrap();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(9)).await;
        let calls = gate.calls.lock().unwrap();
        assert_eq!(*calls, [(0, 1), (2, 3), (10, 1), (12, 1)]);
    }
}
