//! Changes by operators, each one piece of the store's work with its entry in the action log and its idempotency key. Here is the
//! implementation of the port, call by call; what each does is in the modules.

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
mod webhooks;

use std::time::Instant;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use diesel::{SqliteConnection, connection::SimpleConnection};

use self::record::{note, record};
use super::{ledger::SqliteLedger, store::WriteError};
use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Action, ActionEntry, ActionId, AdminError, Administration, AttemptHistory, Change, Changed,
        IdempotencyKey, KeyStanding, LedgerError, Movement, MovementId, MovementMode, NewProduct,
        NewSale, OrderEntry, OrderPage, Product, ProductChange, Restock, SaleChange, SaleRecord,
        StoredAnswer,
    },
};

impl SqliteLedger {
    /// Makes a change at the time of now, by the ledger's clock.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        entry: &ActionEntry,
        work: impl FnOnce(&mut SqliteConnection, DateTime<Utc>, &ActionEntry) -> Result<T, AdminError>
        + Send
        + 'static,
    ) -> Result<T, AdminError> {
        let (now, entry) = (self.clock.now().trunc_subsecs(3), entry.clone());
        let written = self.store.write(move |conn| work(conn, now, &entry)).await;
        written.map_err(|error| match error {
            WriteError::Work(error) => error,
            WriteError::NotWritten(cause) | WriteError::Unknown(cause) => LedgerError(cause).into(),
        })
    }
}

/// Does work that deletes data of persons: what it deletes is also overwritten in the file.
fn overwriting<T, E: From<diesel::result::Error>>(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
) -> Result<T, E> {
    conn.batch_execute("PRAGMA secure_delete = ON")?;
    let done = work(conn);
    conn.batch_execute("PRAGMA secure_delete = OFF")?;
    done
}

#[async_trait]
impl Administration for SqliteLedger {
    async fn create_product(
        &self,
        product: &NewProduct,
        entry: &ActionEntry,
    ) -> Result<Product, AdminError> {
        let product = product.clone();
        self.change(entry, move |conn, now, entry| {
            products::create(conn, now, &product, entry)
        })
        .await
    }

    async fn change_product(
        &self,
        product: ProductId,
        change: &ProductChange,
        entry: &ActionEntry,
    ) -> Result<Product, AdminError> {
        let change = change.clone();
        self.change(entry, move |conn, now, entry| {
            products::change(conn, now, product, &change, entry)
        })
        .await
    }

    async fn product(&self, product: ProductId) -> Result<Option<Product>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| products::find(conn, product))
            .await?)
    }

    async fn products(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<Product>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| products::page(conn, after, limit))
            .await?)
    }

    async fn create_sale(
        &self,
        sale: &NewSale,
        entry: &ActionEntry,
    ) -> Result<SaleRecord, AdminError> {
        let sale = sale.clone();
        self.change(entry, move |conn, now, entry| {
            sales::create(conn, now, &sale, entry)
        })
        .await
    }

    async fn change_sale(
        &self,
        sale: SaleId,
        change: &SaleChange,
        now: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> Result<Changed, AdminError> {
        let (change, asked_at) = (change.clone(), Instant::now());
        self.change(entry, move |conn, written_at, entry| {
            // Work waits for its turn to write.
            let now = now + asked_at.elapsed();
            sales::change(conn, written_at, sale, &change, now, entry)
        })
        .await
    }

    async fn sale(&self, sale: SaleId) -> Result<Option<SaleRecord>, LedgerError> {
        Ok(self.store.read(move |conn| sales::find(conn, sale)).await?)
    }

    async fn sale_records(
        &self,
        product: Option<ProductId>,
        before: Option<SaleId>,
        limit: u32,
    ) -> Result<Vec<SaleRecord>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| sales::page(conn, product, before, limit))
            .await?)
    }

    async fn begin_withdrawal(
        &self,
        sale: SaleId,
        units: u32,
        mode: MovementMode,
        entry: &ActionEntry,
    ) -> Result<Movement, AdminError> {
        let id = MovementId(self.clock.new_id());
        self.change(entry, move |conn, now, entry| {
            movements::begin(conn, now, (id, sale), (units, mode), entry)
        })
        .await
    }

    async fn movement(&self, movement: MovementId) -> Result<Option<Movement>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| movements::find(conn, movement))
            .await?)
    }

    async fn cancel_order(
        &self,
        attempt: AttemptId,
        restock: Restock,
        entry: &ActionEntry,
    ) -> Result<OrderEntry, AdminError> {
        self.change(entry, move |conn, now, entry| {
            orders::cancel(conn, now, attempt, restock, entry)
        })
        .await
    }

    async fn orders(
        &self,
        sale: SaleId,
        after: Option<&OrderPage>,
        limit: u32,
    ) -> Result<Vec<OrderEntry>, LedgerError> {
        let after = after.copied();
        Ok(self
            .store
            .read(move |conn| orders::page(conn, sale, after, limit))
            .await?)
    }

    async fn attempt(&self, attempt: AttemptId) -> Result<Option<AttemptHistory>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| orders::attempt(conn, attempt))
            .await?)
    }

    async fn attempts_of(
        &self,
        user: UserId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<AttemptHistory>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| orders::attempts_of(conn, user, before, limit))
            .await?)
    }

    async fn note_action(
        &self,
        change: &Change,
        entry: &ActionEntry,
    ) -> Result<ActionId, AdminError> {
        let change = change.clone();
        self.change(entry, move |conn, now, entry| {
            note(conn, now, &change, entry)
        })
        .await
    }

    async fn actions(
        &self,
        sale: Option<SaleId>,
        before: Option<ActionId>,
        limit: u32,
    ) -> Result<Vec<Action>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| log::before(conn, sale, before, limit))
            .await?)
    }

    async fn key_standing(
        &self,
        actor: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyStanding>, LedgerError> {
        let (actor, key, now) = (actor.to_owned(), key.clone(), self.clock.now());
        Ok(self
            .store
            .read(move |conn| idempotency::standing(conn, now, &actor, &key))
            .await?)
    }

    async fn store_answer(
        &self,
        actor: &str,
        key: &IdempotencyKey,
        answer: &StoredAnswer,
    ) -> Result<(), LedgerError> {
        let (actor, key, answer) = (actor.to_owned(), key.clone(), answer.clone());
        self.write(move |conn| idempotency::store_answer(conn, &actor, &key, &answer))
            .await
    }
}
