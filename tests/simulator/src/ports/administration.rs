//! What operators change in the ledger, over a connection. Of [`Administration`] there is what a running sale needs.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flashsale::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Action, ActionEntry, ActionId, AdminError, Administration, AttemptHistory,
        AttemptRetention, Change, Changed, IdempotencyKey, KeyStanding, LedgerError, Movement,
        MovementId, MovementMode, NewProduct, NewSale, OrderEntry, OrderPage, Product,
        ProductChange, RemovedPage, Restock, SaleChange, SaleRecord, StoredAnswer, Withdrawals,
    },
};

use super::{RemoteLedger, describe, moved, of_ledger};
use crate::{model::ModelLedger, world::World};

/// A sale before and after a change; `None`: it is not allowed.
type Before = Option<(SaleRecord, SaleRecord)>;

fn not_allowed() -> AdminError {
    AdminError::NotAllowed("not now".to_owned())
}

fn not_simulated<T, E: From<LedgerError>>() -> Result<T, E> {
    Err(LedgerError("not simulated".to_owned()).into())
}

#[async_trait]
impl Administration for RemoteLedger {
    async fn change_sale(
        &self,
        sale: SaleId,
        change: &SaleChange,
        now: DateTime<Utc>,
        _: &ActionEntry,
    ) -> Result<Changed, AdminError> {
        let (ledger, world) = (Arc::clone(&self.ledger), Arc::clone(&self.connection.world));
        let what = || format!("ledger.change_sale({change:?})");
        let taken = change.clone();
        let effect = move || {
            let (ledger, world, change) = (Arc::clone(&ledger), Arc::clone(&world), taken.clone());
            async move { Ok::<_, LedgerError>(changed(&ledger, &world, (sale, &change), now)) }
        };
        let done = |answer: &Result<Before, LedgerError>| match answer {
            Ok(Some((_, after))) => format!("version {}", after.version),
            Ok(None) => "not allowed".to_owned(),
            Err(error) => error.to_string(),
        };
        let answer = of_ledger(self.connection.call(what, done, effect).await)?;
        let (before, after) = answer.ok_or_else(not_allowed)?;
        Ok(Changed {
            before,
            after,
            action: None,
        })
    }

    async fn sale(&self, sale: SaleId) -> Result<Option<SaleRecord>, LedgerError> {
        let ledger = Arc::clone(&self.ledger);
        let effect = move || {
            let ledger = Arc::clone(&ledger);
            async move { Ok::<_, LedgerError>(ledger.record(sale)) }
        };
        let done = |answer: &Result<Option<SaleRecord>, LedgerError>| match answer {
            Ok(row) => format!("version {:?}", row.as_ref().map(|row| row.version)),
            Err(error) => error.to_string(),
        };
        let what = || "ledger.sale".to_owned();
        of_ledger(self.connection.call(what, done, effect).await)
    }

    async fn begin_withdrawal(
        &self,
        sale: SaleId,
        units: u32,
        mode: MovementMode,
        _: &ActionEntry,
    ) -> Result<Movement, AdminError> {
        let ledger = Arc::clone(&self.ledger);
        let what = || format!("ledger.begin_withdrawal({units} {mode:?})");
        let effect = move || {
            let ledger = Arc::clone(&ledger);
            async move { Ok::<_, LedgerError>(ledger.begin_withdrawal(sale, units, mode)) }
        };
        let done = |answer: &Result<Option<Movement>, LedgerError>| match answer {
            Ok(Some(movement)) => moved(movement.id),
            Ok(None) => "not allowed".to_owned(),
            Err(error) => error.to_string(),
        };
        let begun = of_ledger(self.connection.call(what, done, effect).await)?;
        begun.ok_or_else(not_allowed)
    }

    async fn movement(&self, movement: MovementId) -> Result<Option<Movement>, LedgerError> {
        Ok(self.movements(&[movement]).await?.pop())
    }

    async fn cancel_order(
        &self,
        attempt: AttemptId,
        restock: Restock,
        _: &ActionEntry,
    ) -> Result<OrderEntry, AdminError> {
        let (ledger, world) = (Arc::clone(&self.ledger), Arc::clone(&self.connection.world));
        let what = || format!("ledger.cancel_order({attempt}, restock {restock:?})");
        let effect = move || {
            let (ledger, world) = (Arc::clone(&ledger), Arc::clone(&world));
            async move { Ok::<_, LedgerError>(cancelled(&ledger, &world, attempt, restock)) }
        };
        let ended = of_ledger(self.connection.call(what, describe, effect).await)?;
        ended.ok_or_else(not_allowed)
    }

    async fn create_product(&self, _: &NewProduct, _: &ActionEntry) -> Result<Product, AdminError> {
        not_simulated()
    }

    async fn change_product(
        &self,
        _: ProductId,
        _: &ProductChange,
        _: &ActionEntry,
    ) -> Result<Product, AdminError> {
        not_simulated()
    }

    async fn product(&self, _: ProductId) -> Result<Option<Product>, LedgerError> {
        not_simulated()
    }

    async fn products(&self, _: Option<ProductId>, _: u32) -> Result<Vec<Product>, LedgerError> {
        not_simulated()
    }

    async fn create_sale(&self, _: &NewSale, _: &ActionEntry) -> Result<SaleRecord, AdminError> {
        not_simulated()
    }

    async fn sale_records(
        &self,
        _: Option<ProductId>,
        _: Option<SaleId>,
        _: u32,
    ) -> Result<Vec<SaleRecord>, LedgerError> {
        not_simulated()
    }

    async fn orders(
        &self,
        _: SaleId,
        _: Option<&OrderPage>,
        _: u32,
    ) -> Result<Vec<OrderEntry>, LedgerError> {
        not_simulated()
    }

    async fn attempt(&self, _: AttemptId) -> Result<Option<AttemptHistory>, LedgerError> {
        not_simulated()
    }

    async fn attempts_of(
        &self,
        _: UserId,
        _: Option<AttemptId>,
        _: u32,
    ) -> Result<Vec<AttemptHistory>, LedgerError> {
        not_simulated()
    }

    async fn note_action(&self, _: &Change, _: &ActionEntry) -> Result<ActionId, AdminError> {
        not_simulated()
    }

    async fn actions(
        &self,
        _: Option<SaleId>,
        _: Option<ActionId>,
        _: u32,
    ) -> Result<Vec<Action>, LedgerError> {
        not_simulated()
    }

    async fn key_standing(
        &self,
        _: &str,
        _: &IdempotencyKey,
    ) -> Result<Option<KeyStanding>, LedgerError> {
        not_simulated()
    }

    async fn store_answer(
        &self,
        _: &str,
        _: &IdempotencyKey,
        _: &StoredAnswer,
    ) -> Result<(), LedgerError> {
        not_simulated()
    }
}

#[async_trait]
impl AttemptRetention for RemoteLedger {
    async fn sales_over(&self, _: DateTime<Utc>, _: u32) -> Result<Vec<SaleId>, LedgerError> {
        not_simulated()
    }

    async fn close_attempts(
        &self,
        _: DateTime<Utc>,
        _: u32,
        _: &ActionEntry,
    ) -> Result<Vec<SaleId>, AdminError> {
        not_simulated()
    }

    async fn remove_attempts(
        &self,
        _: Option<AttemptId>,
        _: u32,
    ) -> Result<RemovedPage, LedgerError> {
        not_simulated()
    }
}

fn changed(
    ledger: &ModelLedger,
    world: &World,
    (sale, change): (SaleId, &SaleChange),
    now: DateTime<Utc>,
) -> Before {
    let (before, after) = ledger.change_record(sale, change, now)?;
    if after != before {
        if matches!(change, SaleChange::AddUnits(_)) {
            world.seen().units_moved = true;
        }
        world.terms_changed();
    }
    Some((before, after))
}

fn cancelled(
    ledger: &ModelLedger,
    world: &World,
    attempt: AttemptId,
    restock: Restock,
) -> Option<OrderEntry> {
    let (sale, user) = ledger.order_of(attempt)?;
    ledger.cancel_order(sale, user, restock)?;
    let mut seen = world.seen();
    seen.units_moved = true;
    seen.ended.insert(attempt);
    seen.ended_of.insert(user);
    Some(OrderEntry {
        id: attempt.0,
        attempt,
        sale,
        product: ledger.listing(sale)?.product,
        user,
        status: "FAILED".to_owned(),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        sku: String::new(),
        product_name: String::new(),
    })
}
