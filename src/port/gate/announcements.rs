//! Announcements: what a gate tells API nodes at the moment at which it records a result, so that they need not ask again and
//! again. They may be lost: after a subscription was opened anew, results are read.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::GateError;
use crate::ids::{ProductId, SaleId, UserId};

/// What changed for shoppers of one sale, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub sale: SaleId,
    pub news: Vec<(UserId, News)>,
}

/// What changed for one shopper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The shopper's order stands.
    Ordered,
    /// Something else: what holds now has to be read. A FAILED is told only by rules that need a look at the sale
    /// ([`ShopperResults::read_result`](super::ShopperResults::read_result)).
    Changed,
}

/// What a shopper is told of one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopperResult {
    /// The shopper holds a unit, and the ledger's decision is not recorded yet.
    Pending,
    Success,
    Failed,
}

/// What a reading says of one shopper in one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultReading {
    Is(ShopperResult),
    /// The shopper holds no unit of the sale, and has no result of this very sale.
    Nothing,
    /// Nothing was found, and the shopper may still have an order: the gate does not have the sale, is loading it, or may have lost
    /// holders of it.
    Unknown,
}

/// It ends when announcements may have been missed.
pub type AnnouncementStream = BoxStream<'static, Announcement>;

/// Tells results as they are recorded.
#[async_trait]
pub trait ResultAnnouncements: Send + Sync {
    /// The same sales in groups, each of which can be followed by itself: whatever is wrong with one is not wrong with the others.
    fn groups(&self, sales: &[SaleId]) -> Vec<Vec<SaleId>> {
        vec![sales.to_vec()]
    }

    /// Follows these sales. What is recorded from the return of this call on is announced, or the stream ends.
    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError>;

    /// What shoppers are told of a sale of this product, in order.
    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError>;
}
