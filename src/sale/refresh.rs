//! Keeps the catalog fresh: reads the sales from the ledger and their stock from the gate. Only a request for a sale that is not
//! in the catalog waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    GateClock, SaleCatalog,
    catalog::{CatalogSale, MarkCause, RefusalMark},
};
use crate::port::{GateError, GateReads, GateStatus, LedgerError, SaleListings};

/// How often the ledger's sales are read.
const CATALOG_INTERVAL: Duration = Duration::from_secs(1);
/// Between the beginnings of two readings, however many ask for sales that are not in the catalog.
const CATALOG_PAUSE: Duration = Duration::from_millis(100);
/// How long a request waits for a reading.
const CATALOG_WAIT: Duration = Duration::from_secs(1);
/// How often the stock is read: a unit that comes back can be bought within 250 ms.
const STOCK_INTERVAL: Duration = Duration::from_millis(200);
/// Sales that ended a while ago are read in one of so many rounds: should one be made longer by hand, it can be bought within
/// 1.25 s.
const ENDED_EVERY: u32 = 5;

/// Reads ledger and gate for the catalog.
pub struct CatalogRefresh {
    pub catalog: Arc<SaleCatalog>,
    pub ledger: Arc<dyn SaleListings>,
    pub gate: Arc<dyn GateReads>,
    pub clock: Arc<GateClock>,
    pub calls: Arc<CatalogCalls>,
    /// How long a sale stays in the catalog after its end: as long as its results can be read.
    pub keep: Duration,
}

/// Requests for a sale that is not in the catalog, and the readings of the ledger that they wait for.
pub struct CatalogCalls {
    wanted: Notify,
    /// Readings that have begun.
    begun: AtomicU64,
    /// The last reading that ended, and whether it succeeded.
    ended: watch::Sender<(u64, bool)>,
}

impl Default for CatalogCalls {
    fn default() -> Self {
        Self {
            wanted: Notify::new(),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new((0, true)),
        }
    }
}

impl CatalogCalls {
    /// Waits for a reading that begins after this call, which all who wait share. True if the catalog now has every sale that
    /// the ledger had at the time of the call; false if the ledger could not be read within a second.
    pub async fn read_again(&self) -> bool {
        let mut ended = self.ended.subscribe();
        let mine = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.notify_one();
        let read = timeout(CATALOG_WAIT, ended.wait_for(|(number, _)| *number >= mine)).await;
        read.is_ok_and(|ended| ended.is_ok_and(|ended| ended.1))
    }
}

impl CatalogRefresh {
    /// Reads the ledger's sales into the catalog once.
    pub async fn read_listings(&self) -> Result<(), LedgerError> {
        let read_at = self.clock.guess();
        let listings = self.ledger.sales(read_at - self.keep).await?;
        self.catalog.set_listings(listings, read_at);
        Ok(())
    }

    /// Reads the ledger's sales every second, and sooner when a request needs it. While the ledger is away, the catalog stays as it is.
    pub async fn keep_listings(&self, stop: CancellationToken) {
        let mut failing = false;
        let mut last = Instant::now();
        loop {
            let wanted = async {
                self.calls.wanted.notified().await;
                sleep_until(last + CATALOG_PAUSE).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wanted => {}
                () = sleep_until(last + CATALOG_INTERVAL) => {}
            }
            last = Instant::now();
            let number = self.calls.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let read = self
                .read_listings()
                .await
                .map_err(|error| error.to_string());
            self.calls.ended.send_replace((number, read.is_ok()));
            log_change("the catalog", &mut failing, &read);
        }
    }

    /// Reads the stock of open sales, and the holders of those that give no units, again and again.
    pub async fn keep_stock(&self, stop: CancellationToken) {
        let (mut failing, mut round) = (false, 0_u32);
        while !pause(&stop, STOCK_INTERVAL).await {
            round = round.wrapping_add(1);
            let watched = self
                .catalog
                .watched_sales(round.is_multiple_of(ENDED_EVERY));
            let reads = watched.into_iter().map(|sale| async move {
                let read = self.read_stock(&sale).await;
                if read.is_err() {
                    forget_stock(&sale);
                }
                read.map_err(|error| error.to_string())
            });
            let read = join_all(reads).await.into_iter().collect();
            log_change("the stock", &mut failing, &read);
        }
    }

    async fn read_stock(&self, sale: &Arc<CatalogSale>) -> Result<(), GateError> {
        let (id, asked) = (sale.listing.id, self.clock.guess());
        let status = self.gate.status(id).await?;
        let GateStatus::Open {
            available,
            holders_epoch,
            ..
        } = status
        else {
            forget_stock(sale);
            return Ok(());
        };
        sale.set_available(Some(available));
        let Some(cause) = self.catalog.cause(&status) else {
            sale.set_mark(None);
            return Ok(());
        };
        let stands =
            |mark: &RefusalMark| mark.cause == cause && mark.holders_epoch == holders_epoch;
        if let Some(mark) = sale.mark().filter(|mark| stands(mark)) {
            mark.confirm(asked);
            return Ok(());
        }
        // Nobody can have got a unit since it was sold out.
        if let Some(mark) = sale.mark()
            && (mark.cause, cause) == (MarkCause::SoldOut, MarkCause::Ended)
            && mark.holders_epoch == holders_epoch
        {
            let holders = mark.holders.clone();
            sale.set_mark(Some(RefusalMark::new(cause, holders_epoch, holders, asked)));
            return Ok(());
        }
        sale.set_mark(None);
        let mut holders = self.gate.holders(id).await?;
        holders.sort_unstable();
        // Only if no unit came back meanwhile is everybody who holds one among these.
        let after = self.gate.status(id).await?;
        if self.catalog.cause(&after) == Some(cause)
            && matches!(after, GateStatus::Open { holders_epoch: after, .. } if after == holders_epoch)
        {
            let holders = holders.into_boxed_slice();
            sale.set_mark(Some(RefusalMark::new(cause, holders_epoch, holders, asked)));
        }
        Ok(())
    }
}

/// Old numbers are worse than none: the gate decides until it is back. That a sale has ended stays true, and while the gate is
/// away nobody can buy whom this node does not know.
fn forget_stock(sale: &CatalogSale) {
    sale.set_available(None);
    if !sale.is_known_to_have_ended() {
        sale.set_mark(None);
    }
}

/// True when it is time to stop.
async fn pause(stop: &CancellationToken, interval: Duration) -> bool {
    tokio::time::timeout(interval, stop.cancelled())
        .await
        .is_ok()
}

/// Logs a trouble when it begins and when it ends, not every time.
fn log_change(what: &str, failing: &mut bool, read: &Result<(), String>) {
    match read {
        Err(error) if !*failing => {
            tracing::warn!(error, "{what} cannot be read; what is known stays");
        }
        Ok(()) if *failing => tracing::info!("{what} can be read again"),
        _ => {}
    }
    *failing = read.is_err();
}
