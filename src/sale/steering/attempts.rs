//! What is known of one attempt, whether it is settled or not.

use std::time::Duration;

use super::Steering;
use crate::{
    ids::{AttemptId, ProductId, SaleId},
    port::{AttemptHistory, LedgerError, PendingEntry, SaleListing},
};

/// How many of a sale's attempts that are not settled are looked at.
const OLDEST: usize = 1_000;

/// An attempt that holds a unit and is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReservedAttempt {
    pub sale: SaleId,
    pub product: ProductId,
    /// When it was reserved or last claimed, by the gate's clock.
    pub entry: PendingEntry,
}

/// What is known of an attempt.
#[derive(Debug, Clone)]
pub enum KnownAttempt {
    Settled(Box<AttemptHistory>),
    Reserved(ReservedAttempt),
}

impl Steering {
    /// An attempt that is settled or waits for it. Of those that wait, the oldest of each sale are found: one that is asked about
    /// has waited for long.
    pub async fn attempt(&self, attempt: AttemptId) -> Result<Option<KnownAttempt>, LedgerError> {
        if let Some(settled) = self.settled(attempt).await? {
            return Ok(Some(settled));
        }
        match self.reserved(attempt).await? {
            Some(reserved) => Ok(Some(KnownAttempt::Reserved(reserved))),
            // It may have been settled in between.
            None => self.settled(attempt).await,
        }
    }

    async fn settled(&self, attempt: AttemptId) -> Result<Option<KnownAttempt>, LedgerError> {
        let history = self.admin.attempt(attempt).await?;
        Ok(history.map(|history| KnownAttempt::Settled(Box::new(history))))
    }

    async fn reserved(&self, attempt: AttemptId) -> Result<Option<ReservedAttempt>, LedgerError> {
        let since = self.clock.now() - self.keep;
        for SaleListing { id, product, .. } in self.admin.sales(since).await? {
            let pending = self.ask(|gate| gate.overdue(id, Duration::ZERO, OLDEST));
            let mut pending = pending.await.into_iter().flatten();
            if let Some(entry) = pending.find(|entry| entry.attempt == attempt) {
                return Ok(Some(ReservedAttempt {
                    sale: id,
                    product,
                    entry,
                }));
            }
        }
        Ok(None)
    }
}
