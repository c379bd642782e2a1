//! Orders that have ended, until the gate has taken them out.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

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

    /// The same of sales that ended before `since`, at most `limit` in all. [`sales`](super::SaleListings::sales) since then does not
    /// list these sales.
    async fn unlisted_ended_orders(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError>;

    /// Notes that the gate has taken these out, or has forgotten their sale.
    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError>;
}
