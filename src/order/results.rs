//! What shoppers are told of a product.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::oneshot;

use super::gather::{Gather, Limits};
use crate::{
    ids::{ProductId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{GateError, PurchaseResult, ResultEntry, ResultQuestion, StockGate},
    sale::SaleBoard,
    telemetry::Seldom,
};

// While a server is down every batch fails; a line now and then is enough, metrics count them.
static LINES: Seldom = Seldom::new();

/// Results of refused shoppers that may wait to be written.
const REFUSED: Limits = Limits {
    waiting: 65_536,
    batch: 512,
};

/// Questions that may wait to be asked; more are answered that the gate was not.
const ASKED: Limits = Limits {
    waiting: 16_384,
    batch: 256,
};

/// Reads results, many at a time, and writes those of refused shoppers behind their answers.
pub struct Results {
    board: Arc<SaleBoard>,
    asked: Gather<Asked>,
    refused: Gather<ResultEntry>,
}

/// A question, and who waits for the answer.
struct Asked {
    question: ResultQuestion,
    answer: oneshot::Sender<Result<Option<PurchaseResult>, GateError>>,
}

impl Results {
    /// Starts the tasks that read and write.
    pub fn start(lifecycle: &Lifecycle, gate: Arc<dyn StockGate>, board: Arc<SaleBoard>) -> Self {
        let writer = Arc::clone(&gate);
        let refused = Gather::spawn(
            lifecycle,
            "results",
            REFUSED,
            move |batch: Vec<ResultEntry>| {
                let gate = Arc::clone(&writer);
                async move {
                    if let Err(error) = gate.write_results(&batch).await {
                        counter!("flashsale_results_lost_total").increment(batch.len() as u64);
                        if LINES.is_due() {
                            tracing::warn!(results = batch.len(), %error, "results of refused shoppers were not written");
                        }
                    }
                }
            },
        );
        let asked = Gather::spawn(lifecycle, "questions", ASKED, move |batch: Vec<Asked>| {
            let gate = Arc::clone(&gate);
            async move {
                let questions: Vec<_> = batch.iter().map(|asked| asked.question).collect();
                let answers = gate.read_results(&questions).await;
                for (asked, answer) in batch.into_iter().zip(answers) {
                    // Whoever hung up does not need it.
                    let _ = asked.answer.send(answer);
                }
            }
        });
        Self {
            board,
            asked,
            refused,
        }
    }

    /// The shopper's result for a product; `None` while there is none. Waits for the questions before it, then for its own:
    /// each as long as the gate's timeout.
    pub async fn of(
        &self,
        user: UserId,
        product: ProductId,
    ) -> Result<Option<PurchaseResult>, GateError> {
        let (answer, answered) = oneshot::channel();
        let question = ResultQuestion {
            user,
            product,
            sale: self.board.latest_sale_of(product),
        };
        let full = |_| GateError::NotAsked("too many questions are waiting".to_owned());
        self.asked.offer(Asked { question, answer }).map_err(full)?;
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
        if self.refused.offer(entry).is_err() {
            counter!("flashsale_results_lost_total").increment(1);
        }
    }
}
