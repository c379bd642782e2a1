//! Orders and attempts as operators and support staff read them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::{AttemptId, ProductId, SaleId, UserId};

use super::super::{Offset, Partition};

/// Whether the unit of a cancelled order goes on sale again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restock {
    Yes,
    No,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEntry {
    pub id: Uuid,
    pub attempt: AttemptId,
    pub sale: SaleId,
    pub product: ProductId,
    pub user: UserId,
    /// `SUCCESS`, `FAILED` or `PENDING`, as stored.
    pub status: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Of the product, as it is now.
    pub sku: String,
    pub product_name: String,
}

/// The last order of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPage {
    pub created_at: DateTime<Utc>,
    pub id: Uuid,
}

/// What the ledger knows of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptHistory {
    pub attempt: AttemptId,
    pub sale: SaleId,
    pub product: ProductId,
    pub user: UserId,
    /// By the clock of the node that took it.
    pub attempted_at: DateTime<Utc>,
    /// As stored: `ORDERED`, `SOLD_OUT`, `ALREADY_ORDERED`, `NO_ACCOUNT`, `REJECTED`.
    pub outcome: String,
    /// Of a rejection.
    pub cause: Option<String>,
    pub topic: String,
    pub partition: Partition,
    /// `None` of attempts that an earlier version settled.
    pub offset: Option<Offset>,
    pub settled_at: DateTime<Utc>,
    pub order: Option<OrderEntry>,
    /// When its order ended.
    pub released_at: Option<DateTime<Utc>>,
}
