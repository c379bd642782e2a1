//! What shoppers are told of a product.

use crate::{
    ids::{ProductId, UserId},
    port::{GateError, PurchaseResult},
};

/// Reads results.
pub struct Results {}

impl Results {
    /// The shopper's result for a product; `None` while there is none.
    pub async fn of(&self, _user: UserId, _product: ProductId) -> Result<Option<PurchaseResult>, GateError> {
        todo!()
    }
}
