//! What shoppers are told of a product.

use std::sync::Arc;

use metrics::counter;

use super::gather::{Gather, Limits};
use crate::{
    ids::{ProductId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{GateError, PurchaseResult, ResultEntry, StockGate},
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

/// Reads results, and writes those of refused shoppers behind their answers.
pub struct Results {
    gate: Arc<dyn StockGate>,
    board: Arc<SaleBoard>,
    refused: Gather<ResultEntry>,
}

impl Results {
    /// Starts the task that writes.
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
        Self {
            gate,
            board,
            refused,
        }
    }

    /// The shopper's result for a product; `None` while there is none.
    pub async fn of(
        &self,
        user: UserId,
        product: ProductId,
    ) -> Result<Option<PurchaseResult>, GateError> {
        self.gate
            .read_result(user, product, self.board.latest_sale_of(product))
            .await
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
