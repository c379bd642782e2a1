//! Administration: the changes that operators make to products, sales and orders, and what is kept of them.
//!
//! Every change is one transaction of the ledger together with its entry in the action log. Which changes are allowed is
//! decided by `rules::lifecycle`, for every ledger alike. The gate learns of a change afterwards, from the terms.

mod action;
mod error;
mod movement;
mod order;
mod product;
mod sale;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use action::{
    Action, ActionEntry, ActionId, ActionLogCheck, ActionName, Actor, Change, Fingerprint,
    IdempotencyKey, KeyStanding, StoredAnswer,
};
pub use error::AdminError;
pub use movement::{MAX_PENDING_MOVEMENTS, Movement, MovementId, MovementMode, MovementState};
pub use order::{AttemptHistory, OrderEntry, OrderPage, Restock};
pub use product::{NewProduct, Product, ProductChange};
pub use sale::{Changed, NewSale, SaleChange, SaleEdit, SaleRecord, SaleState};

use super::{AttemptRetention, Ledger, LedgerError};
use crate::ids::{AttemptId, ProductId, SaleId, UserId};

/// Changes by operators and the reads of their pages. Implemented by every ledger that keeps orders durably.
#[async_trait]
pub trait Administration: Ledger + AttemptRetention {
    // Products.

    async fn create_product(
        &self,
        product: &NewProduct,
        entry: &ActionEntry,
    ) -> Result<Product, AdminError>;

    async fn change_product(
        &self,
        product: ProductId,
        change: &ProductChange,
        entry: &ActionEntry,
    ) -> Result<Product, AdminError>;

    async fn product(&self, product: ProductId) -> Result<Option<Product>, LedgerError>;

    /// Products with ids above `after`, by id, at most `limit`.
    async fn products(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<Product>, LedgerError>;

    // Sales.

    /// Makes a DRAFT.
    async fn create_sale(
        &self,
        sale: &NewSale,
        entry: &ActionEntry,
    ) -> Result<SaleRecord, AdminError>;

    /// Makes a change that `rules::lifecycle` allows. `now` is the time of the call by the gate's clock; the sale's phase is that of
    /// the moment when the ledger has the sale locked, which may be seconds later. A change that leaves everything as it is
    /// succeeds, raises no version and leaves no entry.
    async fn change_sale(
        &self,
        sale: SaleId,
        change: &SaleChange,
        now: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> Result<Changed, AdminError>;

    async fn sale(&self, sale: SaleId) -> Result<Option<SaleRecord>, LedgerError>;

    /// Sales with ids below `before`, the newest first, at most `limit`; of one product if given.
    async fn sale_records(
        &self,
        product: Option<ProductId>,
        before: Option<SaleId>,
        limit: u32,
    ) -> Result<Vec<SaleRecord>, LedgerError>;

    // Withdrawals: units that leave a LIVE sale are taken from the gate first.

    /// Notes a withdrawal as PENDING. Changes no terms. It is completed by [`close_withdrawal`](super::Withdrawals::close_withdrawal).
    async fn begin_withdrawal(
        &self,
        sale: SaleId,
        units: u32,
        mode: MovementMode,
        entry: &ActionEntry,
    ) -> Result<Movement, AdminError>;

    async fn movement(&self, movement: MovementId) -> Result<Option<Movement>, LedgerError>;

    // Orders.

    /// Ends an order: its row stays, with status FAILED. With `Restock::No` the sale loses the unit in the same transaction. An order
    /// that has ended already is [`AdminError::NotAllowed`]; a request that is sent again is told apart by its idempotency key.
    async fn cancel_order(
        &self,
        attempt: AttemptId,
        restock: Restock,
        entry: &ActionEntry,
    ) -> Result<OrderEntry, AdminError>;

    /// Orders of a sale behind `after` in the order of (`created_at`, id), at most `limit`.
    async fn orders(
        &self,
        sale: SaleId,
        after: Option<&OrderPage>,
        limit: u32,
    ) -> Result<Vec<OrderEntry>, LedgerError>;

    /// What the ledger knows of one attempt.
    async fn attempt(&self, attempt: AttemptId) -> Result<Option<AttemptHistory>, LedgerError>;

    /// Settled attempts of a shopper with ids below `before`, the newest first, at most `limit`. Reads all attempts unless an index was made for it
    /// (docs/OPERATIONS.md).
    async fn attempts_of(
        &self,
        user: UserId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<AttemptHistory>, LedgerError>;

    // The action log and idempotency keys.

    /// Appends an entry for a change that is not one of this ledger's transactions, such as a decision about a dead letter.
    async fn note_action(
        &self,
        change: &Change,
        entry: &ActionEntry,
    ) -> Result<ActionId, AdminError>;

    /// Actions with ids below `before`, the newest first, at most `limit`; of one sale if given.
    async fn actions(
        &self,
        sale: Option<SaleId>,
        before: Option<ActionId>,
        limit: u32,
    ) -> Result<Vec<Action>, LedgerError>;

    /// The standing of a key that is not older than 24 h: `None` if this actor has not used it.
    async fn key_standing(
        &self,
        actor: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyStanding>, LedgerError>;

    /// Stores the answer of the request that used the key.
    async fn store_answer(
        &self,
        actor: &str,
        key: &IdempotencyKey,
        answer: &StoredAnswer,
    ) -> Result<(), LedgerError>;
}
