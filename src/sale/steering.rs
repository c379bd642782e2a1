//! Changing a sale while it runs: first in the ledger, then in the gate, and what came of it. The API and the command line do it
//! through this.
//!
//! Units that are added are added in the ledger first, units that are taken away are taken from the gate first: a crash between
//! the two may delay units, and never sells units that do not exist. What a crash leaves undone is completed by the workers'
//! control loop within two seconds.

mod attempts;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

pub use attempts::{KnownAttempt, ReservedAttempt};

use super::{Balance, forms::Units};
use crate::{
    clock::Clock,
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        ActionEntry, AdminError, Administration, Changed, EndOrdersOutcome, EndedOrder,
        EndedOrders, GateError, Holder, Movement, MovementId, MovementMode, MovementState,
        OrderEntry, PurchaseResult, Restock, SaleChange, SaleEdit, SaleRecord, SaleState,
        StockGate, TermsOutcome, WithdrawOutcome, Withdrawals,
    },
    rules::lifecycle::{Phase, phase},
};

/// How long a change waits for the gate to have the sale. A worker loads a new one within half a second.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one question to the gate may take.
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// In this time the control loop goes round several times.
const FAR: TimeDelta = TimeDelta::seconds(10);
/// How often a change of a draft is tried that somebody else changes at the same time.
const TRIES: u32 = 3;

/// Changes sales in ledger and gate.
#[derive(Clone)]
pub struct Steering {
    pub admin: Arc<dyn Administration>,
    pub withdrawals: Arc<dyn Withdrawals>,
    pub ended_orders: Arc<dyn EndedOrders>,
    /// `None` if it is in the memory of another process, which brings changes there by itself.
    pub gate: Option<Arc<dyn StockGate>>,
    pub clock: Arc<dyn Clock>,
    /// How long the gate keeps a sale after its end.
    pub keep: Duration,
}

/// Whether what was changed in the ledger is in force in the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Since this time, by the gate's clock, no node acts on the old terms.
    At(DateTime<Utc>),
    /// Not yet, or that is not known: the workers' control loop completes it.
    Later,
}

/// A sale that was changed.
#[derive(Debug, Clone)]
pub struct Steered {
    pub sale: SaleRecord,
    pub applied: Applied,
}

/// What came of a change of a sale's units.
#[derive(Debug, Clone)]
pub struct Shifted {
    pub sale: SaleRecord,
    /// As asked for: below zero to take away.
    pub requested: i64,
    /// Whether fewer units may be taken away than were asked for.
    pub mode: MovementMode,
    /// As it was done; `None` until the gate has said how many it took.
    pub done: Option<i64>,
    pub applied: Applied,
}

impl Shifted {
    /// Whether fewer units were available than an exact withdrawal needed, so that nothing was changed.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.requested < 0 && self.done == Some(0) && self.mode == MovementMode::Exact
    }
}

/// An order that was cancelled.
#[derive(Debug, Clone)]
pub struct CancelledOrder {
    pub order: OrderEntry,
    pub applied: Applied,
}

impl Steering {
    /// The time by the gate's clock; the machine's while the gate does not answer.
    pub async fn now(&self) -> DateTime<Utc> {
        match self.ask(|gate| gate.now()).await {
            Some(now) => now,
            None => self.clock.now(),
        }
    }

    /// Makes a change of a sale, and waits for about a second until the gate has it.
    pub async fn change(
        &self,
        sale: SaleId,
        change: &SaleChange,
        entry: &ActionEntry,
    ) -> Result<Steered, AdminError> {
        let now = self.now().await;
        let Changed { before, after, .. } =
            self.admin.change_sale(sale, change, now, entry).await?;
        let applied = self.bring(&before, &after, &[], now).await;
        Ok(Steered {
            sale: after,
            applied,
        })
    }

    /// Adds units to a sale, or takes units away that nobody holds.
    pub async fn shift(
        &self,
        sale: SaleId,
        units: Units,
        entry: &ActionEntry,
    ) -> Result<Shifted, AdminError> {
        match units {
            Units::Add(units) => {
                let change = SaleChange::AddUnits(units);
                let steered = self.change(sale, &change, entry).await?;
                let units = i64::from(units);
                Ok(Shifted {
                    sale: steered.sale,
                    requested: units,
                    mode: MovementMode::Exact,
                    done: Some(units),
                    applied: steered.applied,
                })
            }
            Units::Withdraw(units, mode) => {
                let record = self.record(sale).await?;
                if record.state == SaleState::Draft {
                    self.lower_draft(record, units, mode, entry).await
                } else {
                    let begun = self
                        .admin
                        .begin_withdrawal(sale, units, mode, entry)
                        .await?;
                    Ok(self.withdraw(begun).await?)
                }
            }
        }
    }

    /// Takes the next steps of a withdrawal that has begun, as far as they can be taken now. Repeated, it goes on where it stands.
    pub async fn withdraw(&self, begun: Movement) -> Result<Shifted, AdminError> {
        let (sale, id) = (begun.sale, begun.id);
        // Read before the movement: whatever closes it later raises the version above this one, and the gate sets nothing aside.
        let seen = self.record(sale).await?.version;
        let begun = self.admin.movement(id).await?.ok_or(AdminError::NotFound)?;
        let set_aside = if begun.state == MovementState::Pending {
            self.ask(|gate| gate.withdraw(sale, id, begun.requested, begun.mode, seen))
                .await
        } else {
            None
        };
        let closed = match set_aside {
            Some(WithdrawOutcome::Withdrawn(taken)) => {
                self.withdrawals.close_withdrawal(id, taken).await?
            }
            // The control loop may have been faster.
            Some(WithdrawOutcome::NotOpen | WithdrawOutcome::Outdated) | None => {
                self.admin.movement(id).await?
            }
        };
        let movement = closed.ok_or(AdminError::NotFound)?;
        let record = self.record(sale).await?;
        let requested = -i64::from(movement.requested);
        let Some(done) = done(&movement) else {
            return Ok(Shifted {
                sale: record,
                requested,
                mode: movement.mode,
                done: None,
                applied: Applied::Later,
            });
        };
        let now = self.now().await;
        let applied = self.bring(&record, &record, &[id], now).await;
        Ok(Shifted {
            sale: record,
            requested,
            mode: movement.mode,
            done: Some(done),
            applied,
        })
    }

    /// Cancels an order in ledger and gate.
    pub async fn cancel_order(
        &self,
        attempt: AttemptId,
        restock: Restock,
        entry: &ActionEntry,
    ) -> Result<CancelledOrder, AdminError> {
        let order = self.admin.cancel_order(attempt, restock, entry).await?;
        let applied = self.take_out(&order).await;
        Ok(CancelledOrder { order, applied })
    }

    /// Whether the gate decides by what the ledger has of a sale; brings it there if not. For a request that is asked again.
    pub async fn settle_terms(&self, sale: SaleId) -> Result<Steered, AdminError> {
        let record = self.record(sale).await?;
        let now = self.now().await;
        let applied = self.bring(&record, &record, &[], now).await;
        Ok(Steered {
            sale: record,
            applied,
        })
    }

    /// Takes an order that the ledger has ended out of the gate.
    pub async fn take_out(&self, order: &OrderEntry) -> Applied {
        let holder = Holder {
            user: order.user,
            attempt: order.attempt,
        };
        let out = async {
            // With a unit that is not sold again the sale has one less. The gate must know before it has the unit: it would
            // sell it.
            let steered = self.settle_terms(order.sale).await.ok()?;
            let Applied::At(now) = steered.applied else {
                return None;
            };
            let holders = [holder];
            let ended = self
                .ask(|gate| gate.end_orders(order.sale, order.product, &holders))
                .await;
            match ended? {
                EndOrdersOutcome::TakenOut => {}
                EndOrdersOutcome::NotOpen if self.is_forgotten(&steered.sale, now) => {}
                EndOrdersOutcome::NotOpen => return None,
            }
            let ended = EndedOrder {
                sale: order.sale,
                holder,
            };
            // The control loop would take it out once more, which changes nothing.
            let _ = self.ended_orders.note_ended(&[ended]).await;
            Some(self.now().await)
        };
        out.await.map_or(Applied::Later, Applied::At)
    }

    /// Where the units of a sale are.
    pub async fn balance(&self, sale: &SaleRecord) -> Balance {
        let status = self.ask(|gate| gate.status(sale.id)).await;
        Balance::of(sale, status.as_ref(), self.now().await)
    }

    /// What a shopper of a sale is told of its product; `None` also while the gate does not answer.
    pub async fn told(
        &self,
        user: UserId,
        product: ProductId,
        sale: SaleId,
    ) -> Option<PurchaseResult> {
        self.ask(|gate| gate.read_result(user, product, Some(sale)))
            .await
            .flatten()
    }

    /// A sale as the ledger has it.
    pub async fn record(&self, sale: SaleId) -> Result<SaleRecord, AdminError> {
        self.admin.sale(sale).await?.ok_or(AdminError::NotFound)
    }

    /// Brings the terms of a sale to the gate, with withdrawals that are closed in the ledger.
    async fn bring(
        &self,
        before: &SaleRecord,
        after: &SaleRecord,
        closed: &[MovementId],
        now: DateTime<Utc>,
    ) -> Applied {
        // The gate never has a draft.
        if before.state == SaleState::Draft && after.state != SaleState::Live {
            return Applied::At(now);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut after = after.clone();
        loop {
            let (terms, expires) = (after.terms(), after.window.end + self.keep);
            let outcome = self
                .ask(|gate| gate.set_terms(after.id, terms, closed, expires))
                .await;
            match outcome {
                Some(TermsOutcome::InForce) => return Applied::At(self.now().await),
                // Another change followed, which includes this one. If the ledger has no such version, it was set back, and the
                // control loop loads the sale anew.
                Some(TermsOutcome::OthersInForce { version }) if Instant::now() < deadline => {
                    match self.record(after.id).await {
                        Ok(newer) if newer.version >= version && newer.version > after.version => {
                            after = newer;
                        }
                        Ok(_) | Err(_) => return Applied::Later,
                    }
                }
                Some(TermsOutcome::NotOpen)
                    if self.is_out_of_reach(before, now) && self.is_out_of_reach(&after, now) =>
                {
                    return Applied::At(now);
                }
                Some(TermsOutcome::NotOpen) if Instant::now() < deadline => sleep(PAUSE).await,
                Some(TermsOutcome::NotOpen | TermsOutcome::OthersInForce { .. }) | None => {
                    return Applied::Later;
                }
            }
        }
    }

    /// Whether nobody can buy by these terms of a sale that the gate does not have open. It would be loaded with the newest ones; if it
    /// is being loaded with older ones at this moment, the control loop corrects them long before the start, or has done so.
    fn is_out_of_reach(&self, sale: &SaleRecord, now: DateTime<Utc>) -> bool {
        match phase(sale, now) {
            Phase::Draft => true,
            Phase::Scheduled => sale.window.start > now + FAR,
            Phase::Open | Phase::Paused => false,
            Phase::Ended | Phase::Cancelled => {
                sale.updated_at < now - FAR || self.is_forgotten(sale, now)
            }
        }
    }

    /// Whether a sale that the gate does not have open is never loaded again.
    fn is_forgotten(&self, sale: &SaleRecord, now: DateTime<Utc>) -> bool {
        sale.window.end + self.keep <= now
    }

    /// What the gate answers; `None` if it is elsewhere, or does not answer in time.
    async fn ask<'a, T>(
        &'a self,
        question: impl FnOnce(&'a dyn StockGate) -> BoxFuture<'a, Result<T, GateError>>,
    ) -> Option<T> {
        let gate = self.gate.as_deref()?;
        match timeout(LONGEST_CALL, question(gate)).await {
            Ok(Ok(answer)) => Some(answer),
            // What it was asked is in the ledger: the control loop completes it, and logs what is wrong with the gate.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Units of a draft are in the ledger alone.
    async fn lower_draft(
        &self,
        mut record: SaleRecord,
        units: u32,
        mode: MovementMode,
        entry: &ActionEntry,
    ) -> Result<Shifted, AdminError> {
        for _ in 0..TRIES {
            let there = u32::try_from(record.initial_stock).unwrap_or(u32::MAX);
            // A sale has a unit at least.
            let most = there.saturating_sub(1);
            let taken = match mode {
                MovementMode::Exact if units > most => 0,
                MovementMode::Exact | MovementMode::UpTo => units.min(most),
            };
            let edit = SaleEdit {
                expected: record.version,
                units: Some(there - taken),
                ..SaleEdit::default()
            };
            match self.change(record.id, &SaleChange::Edit(edit), entry).await {
                Ok(steered) => {
                    return Ok(Shifted {
                        sale: steered.sale,
                        requested: -i64::from(units),
                        mode,
                        done: Some(-i64::from(taken)),
                        applied: steered.applied,
                    });
                }
                Err(AdminError::Stale { .. }) => record = self.record(record.id).await?,
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Stale {
            current: record.version,
        })
    }
}

/// What a movement came to, below zero; `None` while it is under way.
fn done(movement: &Movement) -> Option<i64> {
    match movement.state {
        MovementState::Pending => None,
        MovementState::Applied | MovementState::Refused => Some(-i64::from(movement.applied)),
    }
}
