//! What shoppers are told of a product: written, read and forgotten.

use async_trait::async_trait;
use futures::future::join_all;

use crate::{
    ids::{ProductId, SaleId, UserId},
    port::GateError,
};

/// What a shopper is told of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurchaseResult {
    Success,
    Failed,
}

/// A shopper's result to be kept for status reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultEntry {
    pub sale: SaleId,
    pub product: ProductId,
    pub user: UserId,
    pub result: PurchaseResult,
}

/// A shopper who asks for a result; `sale` is the product's current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultQuery {
    pub user: UserId,
    pub product: ProductId,
    pub sale: Option<SaleId>,
}

/// Shoppers' results.
#[async_trait]
pub trait ShopperResults: Send + Sync {
    /// Writes results of shoppers who were refused. Never over a SUCCESS of the same sale.
    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError>;

    /// What to tell a shopper of a product. With `sale`, the product's current one: a shopper who holds a unit of it is
    /// told that attempt's standing (pending: `None`), never an older result. A FAILED is told only if the shopper holds no
    /// unit of its sale and that sale is not being loaded: whoever is told FAILED gets no order.
    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError>;

    /// True if one [`read_results`](Self::read_results) of many costs less than many [`read_result`](Self::read_result).
    fn prefers_batched_reads(&self) -> bool {
        false
    }

    /// [`read_result`](Self::read_result) for many, in order.
    async fn read_results(
        &self,
        asked: &[ResultQuery],
    ) -> Vec<Result<Option<PurchaseResult>, GateError>> {
        let answers = asked
            .iter()
            .map(|question| self.read_result(question.user, question.product, question.sale));
        join_all(answers).await
    }

    /// Forgets written results, each only if it still stands like this.
    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError>;
}
