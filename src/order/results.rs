//! What shoppers are told of a product.

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
    port::{GateError, PurchaseResult, ResultEntry, ResultQuery, StockGate},
    sale::SaleCatalog,
    telemetry::LogThrottle,
};

// While a server is down every batch fails; a line now and then is enough, metrics count them.
static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// Results of refused shoppers that may wait to be written.
const REFUSED: Limits = Limits {
    waiting: 65_536,
    batch: 512,
};

/// Questions that may wait to be asked; more are answered that the gate was not.
const ASKED: Limits = Limits {
    waiting: 16_384,
    batch: 4_096,
};
/// How long a question may wait to be asked. The answer takes a command's timeouts more at most.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Reads results, many at a time if the gate likes that, and writes those of refused shoppers behind their answers.
pub struct Results {
    gate: Arc<dyn StockGate>,
    catalog: Arc<SaleCatalog>,
    asked: Batcher<ResultRequest>,
    refused: Batcher<ResultEntry>,
}

/// A question, and who waits for the answer.
struct ResultRequest {
    question: ResultQuery,
    since: Instant,
    answer: Responder<Result<Option<PurchaseResult>, GateError>>,
}

impl Results {
    /// Starts the tasks that read and write.
    pub fn start(
        lifecycle: &Lifecycle,
        gate: Arc<dyn StockGate>,
        catalog: Arc<SaleCatalog>,
    ) -> Self {
        let writer = Arc::clone(&gate);
        let refused = Batcher::spawn(
            lifecycle,
            "results",
            REFUSED,
            move |batch: Vec<ResultEntry>| {
                let gate = Arc::clone(&writer);
                async move {
                    if let Err(error) = gate.write_results(&batch).await {
                        counter!("flashsale_results_lost_total").increment(batch.len() as u64);
                        if LOG_THROTTLE.allow() {
                            tracing::warn!(results = batch.len(), %error, "results of refused shoppers were not written");
                        }
                    }
                }
            },
        );
        let reader = Arc::clone(&gate);
        let asked = Batcher::spawn(
            lifecycle,
            "questions",
            ASKED,
            move |batch: Vec<ResultRequest>| {
                let gate = Arc::clone(&reader);
                async move { ask(gate.as_ref(), batch).await }
            },
        );
        Self {
            gate,
            catalog,
            asked,
            refused,
        }
    }

    /// The shopper's result for a product; `None` while there is none. Waits for its turn for a second at most, or for the
    /// questions under way, then for the gate as long as its timeout.
    pub async fn of(
        &self,
        replies: &ReplyQueue,
        user: UserId,
        product: ProductId,
    ) -> Result<Option<PurchaseResult>, GateError> {
        let question = ResultQuery {
            user,
            product,
            sale: self.catalog.latest_sale_of(product),
        };
        if !self.gate.prefers_batched_reads() {
            return self.gate.read_result(user, product, question.sale).await;
        }
        let (answer, answered) = replies.slot();
        let since = Instant::now();
        let asked = ResultRequest {
            question,
            since,
            answer,
        };
        let full = |_| GateError::Refused("too many questions are waiting".to_owned());
        self.asked.try_submit(asked).map_err(full)?;
        let lost = |_| GateError::Unknown("the question was not answered".to_owned());
        answered.await.map_err(lost)?
    }

    /// Notes that a shopper was refused, who was told so already: when too many wait, this one is not written.
    pub(super) fn refused(&self, user: UserId, product: ProductId, sale: SaleId) {
        let entry = ResultEntry {
            sale,
            product,
            user,
            result: PurchaseResult::Failed,
        };
        if self.refused.try_submit(entry).is_err() {
            counter!("flashsale_results_lost_total").increment(1);
        }
    }
}

/// Asks for all who still wait, and not for too long.
async fn ask(gate: &dyn StockGate, batch: Vec<ResultRequest>) {
    let (batch, late): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .filter(|asked| !asked.answer.is_closed())
        .partition(|asked| asked.since.elapsed() <= LONGEST_WAIT);
    for asked in late {
        let error = GateError::Refused("the questions before took too long".to_owned());
        asked.answer.send(Err(error));
    }
    let questions: Vec<_> = batch.iter().map(|asked| asked.question).collect();
    let answers = gate.read_results(&questions).await;
    for (asked, answer) in batch.into_iter().zip(answers) {
        asked.answer.send(answer);
    }
}
