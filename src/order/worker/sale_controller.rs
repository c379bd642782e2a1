//! The control loop that brings every sale's state in the gate in line with the ledger: opens sales that the gate does not
//! know, closes sales whose state in the gate is inconsistent, applies new terms, ended orders and missing orders, and runs
//! the relay for attempts that stay pending.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use metrics::gauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    WorkerSettings,
    closing::Closing,
    rebuild::Rebuild,
    reconcile::Reconcile,
    relay::Relay,
    terms::{Terms, TermsStep, end_orders, note_unlisted},
    withdrawals::{self, Withdrawn},
};
use crate::{
    auth::raise_lost_mark,
    ids::SaleId,
    port::{
        CloseRequest::{IfInconsistent, Unconditional},
        EndedOrder, GateStatus, Movement, PortError, Ports, SaleListing, SaleSwitch,
    },
    telemetry::{self, CallDurations, metric},
};

/// Interval between two rounds, in each of which every sale is reconciled.
const ROUND: Duration = Duration::from_millis(500);
/// The same interval while something waits for the log to be settled.
const WAITING_ROUND: Duration = Duration::from_millis(50);
/// Highest number of ended orders of one sale that are taken out of the gate in one round; also of all sales that are no longer
/// listed together.
const ENDED: u32 = 1_000;
/// Interval between two searches for changes of sales that are no longer listed. The answer 202 to an operator says that a change
/// takes effect within two seconds.
const UNLISTED_EVERY: Duration = Duration::from_secs(1);

/// The control loop over all sales.
pub struct SaleController {
    engines: Ports,
    settings: WorkerSettings,
    sales: HashMap<SaleId, SaleTasks>,
    /// When changes of sales that are no longer listed were last searched for.
    looked_for_unlisted: Option<Instant>,
    stop: CancellationToken,
}

/// Changes of a sale by operators that the gate may not have yet, apart from its terms.
#[derive(Default)]
struct Changes {
    ended: Vec<EndedOrder>,
    /// The movements that are PENDING.
    movements: Vec<Movement>,
}

/// The state of the steps that are under way for one sale.
#[derive(Default)]
struct SaleTasks {
    relay: Relay,
    rebuild: Rebuild,
    reconcile: Reconcile,
    terms: Terms,
    closing: Closing,
}

impl SaleController {
    #[must_use]
    pub fn new(engines: Ports, settings: WorkerSettings) -> Self {
        Self {
            engines,
            settings,
            sales: HashMap::new(),
            looked_for_unlisted: None,
            stop: CancellationToken::new(),
        }
    }

    /// Runs one round after the other until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.stop = stop.clone();
        let mut failing = false;
        let durations = CallDurations::of_reconciling();
        while !stop.is_cancelled() {
            let pause = match durations.measure(self.round()).await {
                Ok(waiting) => {
                    if failing {
                        tracing::info!("sales can be reconciled again");
                    }
                    failing = false;
                    if waiting { WAITING_ROUND } else { ROUND }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "sales cannot be reconciled; trying again");
                    }
                    failing = true;
                    ROUND
                }
            };
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        // From now on, another worker shows the metrics of these sales.
        self.sales.keys().copied().for_each(hide);
    }

    /// Reconciles every sale once. True if something waits for the log to be settled.
    pub async fn round(&mut self) -> Result<bool, PortError> {
        // Ended orders are read before the terms. An order may have ended together with its unit; terms from before that would
        // sell the unit again. The changes of a sale that is listed for the first time are read in the next round.
        let ids: Vec<SaleId> = self.sales.keys().copied().collect();
        let mut changes = self.changes_of(&ids).await?;
        let ledger = &self.engines.ledger;
        let since = self.engines.clock.now() - self.settings.keep;
        let listings = ledger.sales(since).await?;
        self.sales.retain(|sale, _| {
            let is_listed = listings.iter().any(|listing| listing.id == *sale);
            if !is_listed {
                hide(*sale);
            }
            is_listed
        });
        // A node that registers accounts raises a lost mark, too. Done here, it does not depend on a registration.
        if let Err(error) = raise_lost_mark(
            self.engines.ledger.as_ref(),
            self.engines.ledger.as_ref(),
            self.engines.gate.as_ref(),
            self.engines.log.as_ref(),
            &self.settings.group,
        )
        .await
        {
            tracing::debug!(%error, "the note of account ids cannot be reconciled");
        }
        let (mut waiting, mut trouble) = (false, None);
        for listing in &listings {
            // If one sale fails (on a cluster, because a node is down), the others are still reconciled.
            let changes = changes.remove(&listing.id).unwrap_or_default();
            waiting |= changes.ended.len() >= ENDED as usize;
            match self.reconcile_sale(listing, &changes).await {
                Ok(waits) => waiting |= waits,
                Err(error) => trouble = Some(error),
            }
        }
        if let Err(error) = self.complete_unlisted(since).await {
            trouble = Some(error);
        }
        trouble.map_or(Ok(waiting), Err)
    }

    /// Closes withdrawals and notes ended orders of sales that are no longer listed, at most once every [`UNLISTED_EVERY`].
    async fn complete_unlisted(&mut self, since: DateTime<Utc>) -> Result<(), PortError> {
        let looked = self.looked_for_unlisted;
        if looked.is_some_and(|at| at.elapsed() < UNLISTED_EVERY) {
            return Ok(());
        }
        self.looked_for_unlisted = Some(Instant::now());
        let refused = withdrawals::refuse_unlisted(&self.engines, since).await;
        note_unlisted(&self.engines, since, ENDED).await?;
        refused
    }

    async fn changes_of(&self, sales: &[SaleId]) -> Result<HashMap<SaleId, Changes>, PortError> {
        let mut changes: HashMap<SaleId, Changes> = HashMap::new();
        if sales.is_empty() {
            return Ok(changes);
        }
        let ledger = &self.engines.ledger;
        for order in ledger.ended_orders(sales, ENDED).await? {
            changes.entry(order.sale).or_default().ended.push(order);
        }
        for movement in ledger.pending_movements(sales).await? {
            let changes = changes.entry(movement.sale).or_default();
            changes.movements.push(movement);
        }
        Ok(changes)
    }

    async fn reconcile_sale(
        &mut self,
        listing: &SaleListing,
        changes: &Changes,
    ) -> Result<bool, PortError> {
        let Changes { ended, movements } = changes;
        let (engines, settings, sale) = (&self.engines, &self.settings, listing.id);
        let forgotten = listing.window.end + settings.keep <= engines.clock.now();
        let tasks = self.sales.entry(sale).or_default();
        let looked = Instant::now();
        let status = engines.gate.status(sale).await?;
        show(sale, &status);
        let suspicious = matches!(status, GateStatus::Closed { .. }) || status.is_contradictory();
        if suspicious && tasks.closing.close(engines, sale, IfInconsistent).await? {
            return Ok(true);
        }
        match status {
            GateStatus::Open { .. } => {
                tasks.rebuild = Rebuild::default();
                let (withdrawn, trouble) =
                    withdrawals::complete(engines, settings, listing, movements, &status).await;
                let waits = match withdrawn {
                    Withdrawn::Nothing => {
                        tasks
                            .reconcile_open(engines, settings, listing, ended, &status)
                            .await?
                    }
                    Withdrawn::Cleared => false,
                };
                trouble.map_or(Ok(waits), Err)
            }
            // What is held must not be forgotten: it is settled before the sale is loaded anew.
            GateStatus::Closed { pending } if pending > 0 => {
                tasks
                    .relay
                    .step(engines, settings, listing, Duration::ZERO)
                    .await?;
                Ok(true)
            }
            // The gate has forgotten this sale for good, so it needs to be told nothing.
            GateStatus::Closed { .. } | GateStatus::Unknown if forgotten => {
                if !ended.is_empty() {
                    engines.ledger.note_ended(ended).await?;
                }
                withdrawals::refuse(engines, movements).await?;
                Ok(false)
            }
            GateStatus::Closed { .. } | GateStatus::Unknown => {
                tasks.relay = Relay::default();
                let (rebuild, stop) = (&mut tasks.rebuild, &self.stop);
                rebuild
                    .step(engines, settings, listing, looked, stop)
                    .await?;
                Ok(true)
            }
        }
    }
}

impl SaleTasks {
    /// Applies the terms first, and then the changes that rely on them.
    async fn reconcile_open(
        &mut self,
        engines: &Ports,
        settings: &WorkerSettings,
        listing: &SaleListing,
        ended: &[EndedOrder],
        status: &GateStatus,
    ) -> Result<bool, PortError> {
        let &GateStatus::Open {
            available, pending, ..
        } = status
        else {
            return Ok(false);
        };
        let (sale, withdrawn) = (listing.id, status.withdrawn_units());
        let step = self.terms.step(engines, settings, listing, status).await?;
        let agrees = match step {
            TermsStep::Agreed => true,
            TermsStep::Differs => false,
            TermsStep::Applied => return Ok(false),
            TermsStep::Unknown => return self.closing.close(engines, sale, Unconditional).await,
        };
        if agrees && !ended.is_empty() {
            end_orders(engines, listing, ended).await?;
        }
        if pending > 0 {
            let age = settings.pending_age;
            return self.relay.step(engines, settings, listing, age).await;
        }
        self.relay = Relay::default();
        let group = &settings.group;
        let differs = agrees
            && ended.is_empty()
            && self
                .reconcile
                .step(engines, group, listing, available, withdrawn)
                .await?;
        if differs {
            return self.closing.close(engines, sale, Unconditional).await;
        }
        Ok(false)
    }
}

/// Gauges of a sale that are known whether the gate has it or not.
const STATE_GAUGES: [&str; 4] = [
    metric::SALE_LOADED,
    metric::SALE_OPEN,
    metric::SALE_PAUSED,
    metric::SALE_PENDING,
];
/// Gauges of a sale that are known only while the gate has it.
const LOADED_GAUGES: [&str; 5] = [
    metric::SALE_TOTAL,
    metric::SALE_AVAILABLE,
    metric::SALE_HELD,
    metric::SALE_WITHDRAWN,
    metric::SALE_DRIFT,
];

/// Shows operators how a sale stands in the gate. `loaded`: the gate decides about it. `open`: it is loaded, and neither paused nor
/// cancelled.
#[allow(clippy::cast_precision_loss)] // gauges
fn show(sale: SaleId, status: &GateStatus) {
    let set = |name: &'static str, value: f64| gauge!(name, "sale" => sale.to_string()).set(value);
    let one_if = |is_so: bool| if is_so { 1.0 } else { 0.0 };
    let (switch, pending) = match *status {
        GateStatus::Unknown => (None, 0),
        GateStatus::Closed { pending } => (None, pending),
        GateStatus::Open {
            switch, pending, ..
        } => (Some(switch), pending),
    };
    set(metric::SALE_LOADED, one_if(switch.is_some()));
    set(metric::SALE_OPEN, one_if(switch == Some(SaleSwitch::On)));
    set(
        metric::SALE_PAUSED,
        one_if(switch == Some(SaleSwitch::Paused)),
    );
    set(metric::SALE_PENDING, pending as f64);
    let GateStatus::Open {
        total,
        available,
        holders,
        ..
    } = *status
    else {
        return forget(sale, &LOADED_GAUGES);
    };
    let withdrawn = status.withdrawn_units() as f64;
    set(metric::SALE_TOTAL, total as f64);
    set(metric::SALE_AVAILABLE, available as f64);
    set(metric::SALE_HELD, holders as f64);
    set(metric::SALE_WITHDRAWN, withdrawn);
    let drift = total as f64 - available as f64 - holders as f64 - withdrawn;
    set(metric::SALE_DRIFT, drift);
}

/// Takes the metrics of a sale back.
fn hide(sale: SaleId) {
    forget(sale, &STATE_GAUGES);
    forget(sale, &LOADED_GAUGES);
}

fn forget(sale: SaleId, gauges: &[&'static str]) {
    for name in gauges {
        telemetry::forget(name, &[("sale", sale.to_string())]);
    }
}
