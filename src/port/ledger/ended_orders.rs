//! Orders that have ended, until the gate has taken them out.

use async_trait::async_trait;

use crate::{
    ids::SaleId,
    port::{Holder, LedgerError},
};

/// An order that has ended: it was deleted, or set to another status, sale or shopper by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedOrder {
    pub sale: SaleId,
    pub holder: Holder,
}

/// The list of ended orders.
#[async_trait]
pub trait EndedOrders: Send + Sync {
    /// Orders of these sales that have ended and that the gate is not known to have taken out, at most `limit` a sale.
    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError>;

    /// Notes that the gate has taken these out.
    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError>;
}
