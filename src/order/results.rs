//! The shoppers' results: read from the gate in batches, and written for shoppers who were refused.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::Instant;

use super::{
    batcher::{Batcher, Limits},
    reply_queue::{ReplyQueue, Responder},
};
use crate::{
    ids::{ProductId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{GateError, PurchaseResult, ResultEntry, ResultQuery, ShopperResults},
    sale::SaleCatalog,
    telemetry::{CallDurations, LogThrottle, metric},
};

// While the gate is down every batch fails. A line now and then is enough: `flashsale_results_lost_total` counts the results.
static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// Limits for the results of refused shoppers that wait to be written.
const REFUSED: Limits = Limits {
    waiting: 65_536,
    batch: 512,
    // These shoppers have their answer. With a call for every few of them, the calls cost more than the results.
    spacing: Duration::from_millis(2),
};

/// Limits for requests that wait for a result. Further requests are answered with [`GateError::Refused`].
const REQUESTS: Limits = Limits {
    waiting: 16_384,
    batch: 4_096,
    spacing: Duration::ZERO,
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
        let writer = Arc::clone(&gate);
        let durations = Arc::new(CallDurations::of_gate("write_results"));
        let refused = Batcher::spawn(
            lifecycle,
            "results",
            REFUSED,
            move |batch: Vec<ResultEntry>| {
                let (gate, durations) = (Arc::clone(&writer), Arc::clone(&durations));
                async move {
                    if let Err(error) = durations.measure(gate.write_results(&batch)).await {
                        counter!(metric::RESULTS_LOST).increment(batch.len() as u64);
                        if LOG_THROTTLE.allow() {
                            tracing::warn!(results = batch.len(), %error, "results of refused shoppers were not written");
                        }
                    }
                }
            },
        );
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
    for (request, answer) in batch.into_iter().zip(answers) {
        request.answer.send(answer);
    }
}
