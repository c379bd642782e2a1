//! Changes by operators, each one transaction with its entry in the action log and its idempotency key. Here is the implementation
//! of the port, call by call; what each does is in the modules.

mod idempotency;
pub(super) mod log;
pub(super) mod movements;
mod orders;
mod personal_data;
mod products;
mod record;
mod retention;
mod sales;
mod service_accounts;
mod transaction;
mod webhooks;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use tokio::time::Instant;

use self::{
    record::{note, record},
    transaction::transaction,
};
use super::PostgresLedger;
use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Action, ActionEntry, ActionId, ActionLogCheck, AdminError, Administration, AttemptHistory,
        Change, Changed, IdempotencyKey, KeyStanding, LedgerError, Movement, MovementId,
        MovementMode, NewProduct, NewSale, OrderEntry, OrderPage, Product, ProductChange, Restock,
        SaleChange, SaleRecord, StoredAnswer,
    },
};

impl PostgresLedger {
    pub(super) async fn close_movement(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        transaction!(self.pool, |conn| movements::close(conn, movement, taken))
    }

    pub(super) async fn check_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        let mut session = self.pool.take().await?;
        let mut one_moment = session.build_transaction().repeatable_read().read_only();
        Ok(one_moment.run(async |conn| log::verify(conn).await).await?)
    }
}

#[async_trait]
impl Administration for PostgresLedger {
    async fn create_product(
        &self,
        product: &NewProduct,
        entry: &ActionEntry,
    ) -> Result<Product, AdminError> {
        transaction!(self.pool, |conn| products::create(conn, product, entry))
    }

    async fn change_product(
        &self,
        product: ProductId,
        change: &ProductChange,
        entry: &ActionEntry,
    ) -> Result<Product, AdminError> {
        transaction!(self.pool, |conn| products::change(
            conn, product, change, entry
        ))
    }

    async fn product(&self, product: ProductId) -> Result<Option<Product>, LedgerError> {
        Ok(products::find(&mut *self.pool.take().await?, product).await?)
    }

    async fn products(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<Product>, LedgerError> {
        Ok(products::page(&mut *self.pool.take().await?, after, limit).await?)
    }

    async fn create_sale(
        &self,
        sale: &NewSale,
        entry: &ActionEntry,
    ) -> Result<SaleRecord, AdminError> {
        transaction!(self.pool, |conn| sales::create(conn, sale, entry))
    }

    async fn change_sale(
        &self,
        sale: SaleId,
        change: &SaleChange,
        now: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> Result<Changed, AdminError> {
        let asked = sales::Asked {
            now,
            at: Instant::now(),
        };
        transaction!(self.pool, |conn| sales::change(
            conn, sale, change, asked, entry
        ))
    }

    async fn sale(&self, sale: SaleId) -> Result<Option<SaleRecord>, LedgerError> {
        Ok(sales::find(&mut *self.pool.take().await?, sale).await?)
    }

    async fn sale_records(
        &self,
        product: Option<ProductId>,
        before: Option<SaleId>,
        limit: u32,
    ) -> Result<Vec<SaleRecord>, LedgerError> {
        Ok(sales::page(&mut *self.pool.take().await?, product, before, limit).await?)
    }

    async fn begin_withdrawal(
        &self,
        sale: SaleId,
        units: u32,
        mode: MovementMode,
        entry: &ActionEntry,
    ) -> Result<Movement, AdminError> {
        transaction!(self.pool, |conn| movements::begin(
            conn, sale, units, mode, entry
        ))
    }

    async fn movement(&self, movement: MovementId) -> Result<Option<Movement>, LedgerError> {
        Ok(movements::find(&mut *self.pool.take().await?, &[movement])
            .await?
            .pop())
    }

    async fn cancel_order(
        &self,
        attempt: AttemptId,
        restock: Restock,
        entry: &ActionEntry,
    ) -> Result<OrderEntry, AdminError> {
        transaction!(self.pool, |conn| orders::cancel(
            conn, attempt, restock, entry
        ))
    }

    async fn orders(
        &self,
        sale: SaleId,
        after: Option<&OrderPage>,
        limit: u32,
    ) -> Result<Vec<OrderEntry>, LedgerError> {
        Ok(orders::page(&mut *self.pool.take().await?, sale, after, limit).await?)
    }

    async fn attempt(&self, attempt: AttemptId) -> Result<Option<AttemptHistory>, LedgerError> {
        Ok(orders::attempt(&mut *self.pool.take().await?, attempt).await?)
    }

    async fn attempts_of(
        &self,
        user: UserId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<AttemptHistory>, LedgerError> {
        Ok(orders::attempts_of(&mut *self.pool.take().await?, user, before, limit).await?)
    }

    async fn note_action(
        &self,
        change: &Change,
        entry: &ActionEntry,
    ) -> Result<ActionId, AdminError> {
        transaction!(self.pool, |conn| note(conn, change, entry))
    }

    async fn actions(
        &self,
        sale: Option<SaleId>,
        before: Option<ActionId>,
        limit: u32,
    ) -> Result<Vec<Action>, LedgerError> {
        Ok(log::before(&mut *self.pool.take().await?, sale, before, limit).await?)
    }

    async fn key_standing(
        &self,
        actor: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyStanding>, LedgerError> {
        Ok(idempotency::standing(&mut *self.pool.take().await?, actor, key).await?)
    }

    async fn store_answer(
        &self,
        actor: &str,
        key: &IdempotencyKey,
        answer: &StoredAnswer,
    ) -> Result<(), LedgerError> {
        Ok(idempotency::store_answer(&mut *self.pool.take().await?, actor, key, answer).await?)
    }
}
