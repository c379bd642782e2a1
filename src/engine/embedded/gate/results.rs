//! Records the ledger's decisions in the gate in memory, and answers what shoppers are told.

use std::sync::PoisonError;

use async_trait::async_trait;

use super::MemoryGate;
use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{
        AnnouncementStream, EndOrdersOutcome, GateError, Holder, Outcome, OutcomeRecording,
        PurchaseResult, ResultAnnouncements, ResultEntry, ResultReading, Settlement,
        ShopperResults, Standing,
    },
    rules::shopper_result::{Holders, reading, result},
};

#[async_trait]
impl ShopperResults for MemoryGate {
    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.results.write(results.to_vec()).await?;
        self.announced.tell_written(results);
        Ok(())
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        let unit = sale.and_then(|sale| self.standing(sale, user));
        if unit.is_some() {
            return Ok(result(unit, None, Holders::Complete));
        }
        let ordered = self.ordered(user, product);
        let stored = self.results.read(user, product, ordered).await?;
        Ok(stored.and_then(|stored| {
            let unit = self.standing(stored.sale, user);
            result(unit, Some(stored.result), self.holders_known(stored.sale))
        }))
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.results.forget(results.to_vec()).await
    }
}

#[async_trait]
impl ResultAnnouncements for MemoryGate {
    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        Ok(self.announced.follow(sales))
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError> {
        let stored = self.results.stored(sale, product, users.to_vec()).await?;
        let holders = self.holders_known(sale);
        let of_all = users.iter().zip(stored);
        let told =
            of_all.map(|(user, stored)| reading(self.standing(sale, *user), stored, holders));
        Ok(told.collect())
    }
}

#[async_trait]
impl OutcomeRecording for MemoryGate {
    /// The results first, the sale second: a pending entry is what brings a half-done recording back to the relay, so
    /// it must be the last thing to go.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError> {
        self.results
            .write(self.results_to_store(sale, settlements))
            .await?;
        self.with(sale, |sale, _| sale.record(settlements));
        let ordered = |user| self.standing(sale, user) == Some(Standing::Success);
        let users = || settlements.iter().map(|settlement| settlement.attempt.user);
        self.announced.tell(sale, users, ordered);
        Ok(())
    }

    /// The results first, as in [`record`](Self::record).
    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError> {
        let results = ended.iter().map(|holder| ResultEntry {
            sale,
            product,
            user: holder.user,
            result: PurchaseResult::Success,
        });
        self.results.forget(results.collect()).await?;
        let taken = self.with(sale, |sale, _| sale.end_orders(ended));
        if taken == Some(EndOrdersOutcome::TakenOut) {
            let users = || ended.iter().map(|holder| holder.user);
            self.announced.tell(sale, users, |_| false);
        }
        Ok(taken.unwrap_or(EndOrdersOutcome::NotOpen))
    }
}

impl MemoryGate {
    /// The results that must be stored, since no holder shows them: of those who failed, and of those who have an order
    /// in a sale that is not known.
    fn results_to_store(&self, id: SaleId, settlements: &[Settlement]) -> Vec<ResultEntry> {
        let to_store = |settlement: &Settlement| {
            let attempt = &settlement.attempt;
            let ended = self.with(id, |sale, _| sale.has_ended(settlement));
            if ended == Some(true) {
                return None;
            }
            let by_holder = self
                .with(id, |sale, _| sale.holder_shows_result(settlement))
                .unwrap_or(false);
            let result = match settlement.outcome {
                Outcome::Ordered | Outcome::AlreadyOrdered { .. } => PurchaseResult::Success,
                Outcome::SoldOut => PurchaseResult::Failed,
                // The shopper may buy again.
                Outcome::Released => return None,
                // A record that names nothing real may name a real shopper.
                Outcome::NoAccount | Outcome::Rejected => {
                    let awaited = self.with(id, |sale, _| sale.is_pending(attempt.user));
                    if !awaited.unwrap_or(false) {
                        return None;
                    }
                    PurchaseResult::Failed
                }
            };
            (!by_holder).then_some(ResultEntry {
                sale: attempt.sale,
                product: attempt.product,
                user: attempt.user,
                result,
            })
        };
        settlements.iter().filter_map(to_store).collect()
    }

    /// The sales that are known to be the product's in which the shopper has an order.
    fn ordered(&self, user: UserId, product: ProductId) -> Vec<SaleId> {
        let mut ids: Vec<SaleId> = {
            let sales = self.sales.read().unwrap_or_else(PoisonError::into_inner);
            sales.keys().copied().collect()
        };
        ids.retain(|id| {
            self.with(*id, |sale, _| sale.is_of(product) && sale.has_order(user))
                .unwrap_or(false)
        });
        ids
    }

    /// What the gate knows of a sale's holders.
    fn holders_known(&self, sale: SaleId) -> Holders {
        self.with(sale, |sale, _| sale.holders_known())
            .unwrap_or(Holders::Absent)
    }

    /// How the unit stands that a shopper holds in a sale, if they do.
    fn standing(&self, sale: SaleId, user: UserId) -> Option<Standing> {
        self.with(sale, |sale, _| sale.standing(user)).flatten()
    }
}
