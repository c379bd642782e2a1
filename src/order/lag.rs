//! The age of the oldest accepted attempt that is not settled, for readiness and for a gauge.
//!
//! It grows when no worker runs or the ledger takes no orders, also while every server answers its pings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::gauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    ids::SaleId,
    port::{GateError, LedgerError, PendingAttempts, SaleListings},
    telemetry::metric,
};

/// Interval between reads of the gate's pending attempts.
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval between reads of the list of sales.
const LISTING_INTERVAL: Duration = Duration::from_secs(5);
/// Sales that ended longer ago are left out.
const AFTER_END: Duration = Duration::from_hours(1);
/// Younger attempts are left out: settling them takes some time.
const MIN_AGE: Duration = Duration::from_secs(1);

/// Where the age is read.
pub struct WatchedServers {
    pub gate: Arc<dyn PendingAttempts>,
    pub ledger: Arc<dyn SaleListings>,
    pub clock: Arc<dyn Clock>,
}

/// The age of the oldest attempt that is accepted and not settled. Updated every second.
#[derive(Debug, Default)]
pub struct SettlementLag {
    millis: AtomicU64,
}

impl SettlementLag {
    /// Zero if no attempt has been waiting for a second or longer.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Updates the age every second until stopped. While the gate does not answer, the age keeps its last value; while the ledger
    /// does not answer, the list of sales keeps its last value.
    pub async fn watch(&self, servers: WatchedServers, stop: CancellationToken) {
        let mut sales = Vec::new();
        let mut listed_at: Option<Instant> = None;
        loop {
            if listed_at.is_none_or(|at| at.elapsed() >= LISTING_INTERVAL) {
                match current_sales(&servers).await {
                    Ok(found) => sales = found,
                    Err(error) => tracing::debug!(%error, "the sales cannot be listed"),
                }
                listed_at = Some(Instant::now());
            }
            match oldest(&servers, &sales).await {
                Ok(age) => {
                    let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                    self.millis.store(millis, Ordering::Relaxed);
                    gauge!(metric::OLDEST_UNSETTLED).set(age.as_secs_f64());
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

/// The sales that have started, or will before the next listing, and that ended at most an hour ago.
async fn current_sales(servers: &WatchedServers) -> Result<Vec<SaleId>, LedgerError> {
    let now = servers.clock.now();
    let since = now - AFTER_END;
    let listings = servers.ledger.sales(since).await?;
    let current = listings.iter().filter(|listing| {
        listing.window.start <= now + LISTING_INTERVAL && listing.window.end > since
    });
    Ok(current.map(|listing| listing.id).collect())
}

/// The age of the oldest pending attempt of these sales. The relay sets the age of an attempt back to zero when it claims the
/// attempt, but only once every record that was in the log before is settled.
async fn oldest(servers: &WatchedServers, sales: &[SaleId]) -> Result<Duration, GateError> {
    let mut oldest = Duration::ZERO;
    for sale in sales {
        for entry in servers.gate.overdue(*sale, MIN_AGE, 1).await? {
            let age = servers.clock.now() - entry.since;
            oldest = oldest.max(age.to_std().unwrap_or_default());
        }
    }
    Ok(oldest)
}
