//! What the ledger decided, recorded in the gate.

use async_trait::async_trait;

use crate::{
    ids::{ProductId, SaleId},
    port::{GateError, Holder, Settlement},
};

/// The answer to taking out orders that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOrdersOutcome {
    /// None of them holds a unit any more.
    TakenOut,
    /// The sale is not open. It must be called again: an older snapshot may bring the holders back.
    NotOpen,
}

/// Takes over the ledger's decisions about attempts and orders.
#[async_trait]
pub trait OutcomeRecording: Send + Sync {
    /// Records what the ledger decided, for settlements of one sale: the attempts are no longer pending; a failed one
    /// gives its unit back; an order of a shopper whom the gate does not know takes a unit (`available` may go below
    /// zero); shoppers' results are written, FAILED never over a SUCCESS of the same sale, and that of a rejected attempt
    /// only if its shopper waits for one: its record may name anybody.
    ///
    /// While a sale is being loaded, orders recorded meanwhile are kept aside and counted when it opens. For an unknown
    /// sale only the results are written.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError>;

    /// Takes orders out that the ledger has ended, at most 1,000: each unit can be bought again, the shopper may buy again and
    /// is not told SUCCESS any more. An order of one of these attempts that is recorded later takes no unit.
    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError>;
}
