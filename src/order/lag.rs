//! How long the oldest accepted attempt has been waiting to be settled: for readiness and for a gauge.
//!
//! Every server may answer while nothing is settled: no worker runs, or the ledger takes no orders. This is what shows it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::gauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    ids::SaleId,
    port::{GateError, LedgerError, Ports},
};

/// How often the gate is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the list of sales is read.
const LISTING_INTERVAL: Duration = Duration::from_secs(5);
/// Sales that ended longer ago are not looked at.
const AFTER_END: Duration = Duration::from_hours(1);
/// An attempt that is younger is on its way.
const YOUNG: Duration = Duration::from_secs(1);

/// The age of the oldest attempt that is accepted and not settled, as of a second ago.
#[derive(Debug, Default)]
pub struct SettlementLag {
    millis: AtomicU64,
}

impl SettlementLag {
    /// Zero when nothing waits for longer than a second.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Looks again and again. While the gate is away, the age stays as it was; while the ledger is away, so does the list of
    /// sales.
    pub async fn watch(&self, engines: &Ports, stop: CancellationToken) {
        let mut sales = Vec::new();
        let mut listed: Option<Instant> = None;
        loop {
            if listed.is_none_or(|at| at.elapsed() >= LISTING_INTERVAL) {
                match list(engines).await {
                    Ok(found) => sales = found,
                    Err(error) => tracing::debug!(%error, "the sales cannot be listed"),
                }
                listed = Some(Instant::now());
            }
            match oldest(engines, &sales).await {
                Ok(age) => {
                    let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                    self.millis.store(millis, Ordering::Relaxed);
                    gauge!("flashsale_oldest_unsettled_seconds").set(age.as_secs_f64());
                }
                Err(error) => tracing::debug!(%error, "pending attempts cannot be read"),
            }
            if tokio::time::timeout(INTERVAL, stop.cancelled())
                .await
                .is_ok()
            {
                return;
            }
        }
    }
}

/// The sales that have begun and are not long over.
async fn list(engines: &Ports) -> Result<Vec<SaleId>, LedgerError> {
    let now = engines.clock.now();
    let since = now - AFTER_END;
    let listings = engines.ledger.sales(since).await?;
    let begun = listings.iter().filter(|listing| {
        listing.window.start <= now + LISTING_INTERVAL && listing.window.end > since
    });
    Ok(begun.map(|listing| listing.id).collect())
}

/// The age of the oldest pending attempt of these sales. A worker that claims an attempt anew makes it young again, but only
/// after every record before it was settled.
async fn oldest(engines: &Ports, sales: &[SaleId]) -> Result<Duration, GateError> {
    let mut oldest = Duration::ZERO;
    for sale in sales {
        for entry in engines.gate.overdue(*sale, YOUNG, 1).await? {
            let age = engines.clock.now() - entry.since;
            oldest = oldest.max(age.to_std().unwrap_or_default());
        }
    }
    Ok(oldest)
}
