//! Looks after every sale, again and again: opens those that the gate does not know, closes those whose gate may have
//! lost writes, hands what is stuck to the relay, and tells the gate of orders that it was not told of.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use metrics::gauge;
use tokio_util::sync::CancellationToken;

use super::{Engines, WorkerSettings, rebuild::Rebuild, reconcile::Reconcile, relay::Relay};
use crate::{
    auth::raise_lost_mark,
    ids::SaleId,
    port::{GateError, GateStatus, LedgerError, LogError, Offset, Partition, SaleListing},
};

/// How often every sale is looked at.
const ROUND: Duration = Duration::from_millis(500);
/// How often while something waits for the log to be settled.
const WAITING_ROUND: Duration = Duration::from_millis(50);

/// Why a round could not be finished. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum CareError {
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The ends of the log at some moment. Once it is passed, everything appended before that moment is settled.
pub(super) struct Barrier(BTreeMap<Partition, Offset>);

/// Looks after the sales.
pub(super) struct Caretaker {
    engines: Engines,
    settings: WorkerSettings,
    sales: HashMap<SaleId, Care>,
}

/// What is under way for one sale.
#[derive(Default)]
struct Care {
    relay: Relay,
    rebuild: Rebuild,
    reconcile: Reconcile,
}

impl Barrier {
    /// Here and now.
    pub(super) async fn now(engines: &Engines) -> Result<Self, CareError> {
        Ok(Self(engines.log.ends().await?))
    }

    /// True once every record before it is settled.
    pub(super) async fn is_passed(
        &self,
        engines: &Engines,
        group: &str,
    ) -> Result<bool, CareError> {
        let progress = engines.ledger.progress(group, engines.log.name()).await?;
        let settled = |partition: &Partition| progress.get(partition).copied().unwrap_or(Offset(0));
        Ok(self
            .0
            .iter()
            .all(|(partition, end)| settled(partition) >= *end))
    }
}

impl Caretaker {
    pub(super) fn new(engines: Engines, settings: WorkerSettings) -> Self {
        Self {
            engines,
            settings,
            sales: HashMap::new(),
        }
    }

    /// Goes round until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut failing = false;
        while !stop.is_cancelled() {
            let pause = match self.round().await {
                Ok(waiting) => {
                    if failing {
                        tracing::info!("sales can be looked after again");
                    }
                    failing = false;
                    if waiting { WAITING_ROUND } else { ROUND }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "sales cannot be looked after; trying again");
                    }
                    failing = true;
                    ROUND
                }
            };
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }

    /// Looks at every sale once. True if something waits for the log to be settled.
    async fn round(&mut self) -> Result<bool, CareError> {
        let listings = self
            .engines
            .ledger
            .sales(self.engines.clock.now() - self.settings.keep)
            .await?;
        self.sales
            .retain(|sale, _| listings.iter().any(|listing| listing.id == *sale));
        // A node that registers accounts does it as well; here it does not depend on somebody who registers.
        if let Err(error) = raise_lost_mark(
            self.engines.ledger.as_ref(),
            self.engines.gate.as_ref(),
            self.engines.log.as_ref(),
            &self.settings.group,
        )
        .await
        {
            tracing::debug!(%error, "the note of account ids cannot be looked after");
        }
        let (mut waiting, mut trouble) = (false, None);
        for listing in &listings {
            // One sale's trouble (on a cluster, a node that is down) is not another's.
            match self.look_at(listing).await {
                Ok(waits) => waiting |= waits,
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(waiting), Err)
    }

    async fn look_at(&mut self, listing: &SaleListing) -> Result<bool, CareError> {
        let sale = listing.id;
        let forgotten = listing.window.end + self.settings.keep <= self.engines.clock.now();
        let care = self.sales.entry(sale).or_default();
        let status = self.engines.gate.status(sale).await?;
        show(sale, status);
        if matches!(status, GateStatus::Closed { .. })
            && self.engines.gate.close_if_restarted(sale).await?
        {
            tracing::warn!(%sale, "the server behind the gate was restarted: closed until it is loaded anew");
            return Ok(true);
        }
        match status {
            GateStatus::Open {
                window,
                available,
                pending,
                ..
            } => {
                care.rebuild = Rebuild::default();
                if window != listing.window {
                    let expires = listing.window.end + self.settings.keep;
                    self.engines
                        .gate
                        .set_window(sale, listing.window, expires)
                        .await?;
                    tracing::info!(%sale, start = %listing.window.start, end = %listing.window.end, "the window was changed");
                }
                if pending == 0 {
                    care.relay = Relay::default();
                    care.reconcile
                        .step(&self.engines, listing, available)
                        .await?;
                    return Ok(false);
                }
                care.relay
                    .step(
                        &self.engines,
                        &self.settings.group,
                        listing,
                        self.settings.pending_age,
                    )
                    .await
            }
            // What is held must not be forgotten: it is settled before the sale is loaded anew.
            GateStatus::Closed { pending } if pending > 0 => {
                care.relay
                    .step(&self.engines, &self.settings.group, listing, Duration::ZERO)
                    .await?;
                Ok(true)
            }
            // Nobody would be told anything by it.
            GateStatus::Closed { .. } | GateStatus::Unknown if forgotten => Ok(false),
            GateStatus::Closed { .. } | GateStatus::Unknown => {
                care.relay = Relay::default();
                care.rebuild
                    .step(&self.engines, &self.settings, listing)
                    .await?;
                Ok(true)
            }
        }
    }
}

/// Shows operators how a sale stands in the gate.
#[allow(clippy::cast_precision_loss)] // gauges
fn show(sale: SaleId, status: GateStatus) {
    let (open, available, pending) = match status {
        GateStatus::Unknown => (0.0, 0, 0),
        GateStatus::Closed { pending } => (0.0, 0, pending),
        GateStatus::Open {
            available, pending, ..
        } => (1.0, available, pending),
    };
    let label = sale.to_string();
    gauge!("flashsale_sale_open", "sale" => label.clone()).set(open);
    gauge!("flashsale_sale_available", "sale" => label.clone()).set(available as f64);
    gauge!("flashsale_sale_pending", "sale" => label).set(pending as f64);
}
