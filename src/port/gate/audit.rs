//! What the gate keeps of each shopper, for audits.

use async_trait::async_trait;

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, Standing},
};

/// A shopper who holds a unit, and how far that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldUnit {
    pub user: UserId,
    pub attempt: AttemptId,
    pub standing: Standing,
}

/// Reads for audits.
#[async_trait]
pub trait GateAudit: Send + Sync {
    /// All holders of a sale, in pages. A shopper who holds a unit during the whole read is included, with a standing that was
    /// true at some moment meanwhile. For audits; reads only.
    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError>;

    /// What these shoppers would be told of a sale if the gate forgot who holds its units: one answer for each, `None`
    /// where nothing is kept or it is of another sale of the product. For audits; reads only.
    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError>;
}
