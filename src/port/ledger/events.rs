//! The events of sales: what happened to orders and terms, numbered by sale, and how far each consumer has got.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{LedgerError, SaleState, SaleWindow, SeekOutcome},
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// An order stands.
    OrderCreated,
    /// An order does not stand any more.
    OrderReleased,
    /// A draft became visible to shoppers.
    SalePublished,
    SalePaused,
    SaleResumed,
    /// The window or the product changed.
    SaleTermsChanged,
    /// Units were added or taken away.
    SaleStockChanged,
    /// The last unit has an order.
    SaleSoldOut,
    /// There is a unit without an order again.
    SaleRestocked,
    /// A sale that was not over was ended by an operator or by SQL. The end by the clock is no event.
    SaleEnded,
    SaleCancelled,
}

impl EventType {
    pub const ALL: [Self; 11] = [
        Self::OrderCreated,
        Self::OrderReleased,
        Self::SalePublished,
        Self::SalePaused,
        Self::SaleResumed,
        Self::SaleTermsChanged,
        Self::SaleStockChanged,
        Self::SaleSoldOut,
        Self::SaleRestocked,
        Self::SaleEnded,
        Self::SaleCancelled,
    ];

    /// The name in ledgers and in what consumers receive.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderCreated => "order.created",
            Self::OrderReleased => "order.released",
            Self::SalePublished => "sale.published",
            Self::SalePaused => "sale.paused",
            Self::SaleResumed => "sale.resumed",
            Self::SaleTermsChanged => "sale.terms_changed",
            Self::SaleStockChanged => "sale.stock_changed",
            Self::SaleSoldOut => "sale.sold_out",
            Self::SaleRestocked => "sale.restocked",
            Self::SaleEnded => "sale.ended",
            Self::SaleCancelled => "sale.cancelled",
        }
    }

    /// The type with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// The order that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventOrder {
    /// The row's id. A ledger that names orders by their attempts has the attempt's.
    pub order: Uuid,
    pub attempt: AttemptId,
    pub user: UserId,
}

/// A sale after the change that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTerms {
    pub state: SaleState,
    pub paused_at: Option<DateTime<Utc>>,
    pub window: SaleWindow,
    pub initial_stock: u64,
    /// Units for which no order stands.
    pub remaining_stock: u64,
    pub version: u64,
}

/// What the events of a batch are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// One event for each, in this order.
    Orders(Vec<EventOrder>),
    /// One event.
    Sale(EventTerms),
}

/// Events of one sale, one type and one transaction, with consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBatch {
    pub sale: SaleId,
    pub product: ProductId,
    pub event_type: EventType,
    /// The number of the first one.
    pub first: u64,
    pub at: DateTime<Utc>,
    /// An order of it may have had an event of this type before.
    pub is_repeated: bool,
    pub subject: EventSubject,
}

impl EventBatch {
    /// How many events there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.subject {
            EventSubject::Orders(orders) => orders.len() as u64,
            EventSubject::Sale(_) => 1,
        }
    }

    /// The number of the last one.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first + self.count().saturating_sub(1)
    }
}

/// Some of a sale's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// In order. Between two of them numbers can be missing: those of events that were not recorded.
    pub batches: Vec<EventBatch>,
    /// The number of the sale's last event, read no later than the batches.
    pub last: u64,
    /// Whether events are recorded now.
    pub is_recording: bool,
}

/// A sale that has events which a consumer did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingEvents {
    pub sale: SaleId,
    /// The last event that it got; `None`: none of the sale.
    pub position: Option<u64>,
    /// The last event that is kept.
    pub last: u64,
}

/// Whether a ledger records events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRecording {
    On,
    Off,
}

/// Reads events.
#[async_trait]
pub trait EventFeed: Send + Sync {
    /// The batches of a sale with events after number `after`: as many as have the next `limit` numbers, so that the last one may go
    /// beyond. `None`: there is no such sale.
    async fn events_after(
        &self,
        sale: SaleId,
        after: u64,
        limit: u32,
    ) -> Result<Option<EventPage>, LedgerError>;
}

/// Whether events are recorded, how far consumers have got, and how long events are kept.
#[async_trait]
pub trait EventPositions: Send + Sync {
    /// Has the ledger record events from now on, or not any more. Numbers are counted all the time.
    async fn record_events(&self, recording: EventRecording) -> Result<(), LedgerError>;

    /// The sales with events that this consumer did not get.
    async fn pending_events(&self, consumer: &str) -> Result<Vec<PendingEvents>, LedgerError>;

    /// Where a consumer stands, in all sales of which it got something.
    async fn event_positions(&self, consumer: &str) -> Result<BTreeMap<SaleId, u64>, LedgerError>;

    /// Notes that a consumer got all events of a sale up to `to`, if it stands at `from`.
    async fn advance_events(
        &self,
        consumer: &str,
        sale: SaleId,
        from: Option<u64>,
        to: u64,
    ) -> Result<SeekOutcome, LedgerError>;

    /// Removes events from before `before`, the oldest first, at most `limit` batches of each sale. How many batches were removed.
    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, LedgerError>;
}
