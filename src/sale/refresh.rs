//! Keeps the board fresh: the catalog from the ledger, the stock from the gate. Requests never wait for it.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{SaleBoard, board::Listed, board::SoldOut};
use crate::{
    clock::Clock,
    port::{GateError, GateStatus, Ledger, LedgerError, StockGate},
};

/// How often the catalog is read.
const CATALOG_INTERVAL: Duration = Duration::from_secs(1);
/// How often the stock is read: a unit that comes back can be bought within 250 ms.
const STOCK_INTERVAL: Duration = Duration::from_millis(200);

/// Reads ledger and gate for the board.
pub struct Refresh {
    pub board: Arc<SaleBoard>,
    pub ledger: Arc<dyn Ledger>,
    pub gate: Arc<dyn StockGate>,
    pub clock: Arc<dyn Clock>,
    /// How long a sale stays on the board after its end: as long as its results can be read.
    pub keep: Duration,
}

impl Refresh {
    /// Reads the catalog once.
    pub async fn catalog(&self) -> Result<(), LedgerError> {
        self.board
            .list(self.ledger.sales(self.clock.now() - self.keep).await?);
        Ok(())
    }

    /// Reads the catalog again and again. While the ledger is away, the board stays as it is.
    pub async fn keep_catalog(&self, stop: CancellationToken) {
        let mut failing = false;
        while !pause(&stop, CATALOG_INTERVAL).await {
            let read = self.catalog().await.map_err(|error| error.to_string());
            log_change("the catalog", &mut failing, &read);
        }
    }

    /// Reads the stock of open sales again and again.
    pub async fn keep_stock(&self, stop: CancellationToken) {
        let mut failing = false;
        while !pause(&stop, STOCK_INTERVAL).await {
            let reads = self.board.open_sales().into_iter().map(|sale| async move {
                let read = self.stock(&sale).await;
                if read.is_err() {
                    // Old numbers are worse than none: the gate decides until it is back.
                    sale.set_available(None);
                    sale.set_mark(None);
                }
                read.map_err(|error| error.to_string())
            });
            let read = join_all(reads).await.into_iter().collect();
            log_change("the stock", &mut failing, &read);
        }
    }

    async fn stock(&self, sale: &Arc<Listed>) -> Result<(), GateError> {
        let id = sale.listing.id;
        let (available, returns) = match self.gate.status(id).await? {
            GateStatus::Open {
                available, returns, ..
            } => (available, returns),
            GateStatus::Unknown | GateStatus::Closed { .. } => {
                sale.set_available(None);
                sale.set_mark(None);
                return Ok(());
            }
        };
        sale.set_available(Some(available));
        if available > 0 {
            sale.set_mark(None);
        } else if sale.mark().is_none_or(|mark| mark.returns != returns) {
            sale.set_mark(None);
            let mut holders = self.gate.holders(id).await?;
            holders.sort_unstable();
            // Only if no unit came back meanwhile is everybody who holds one among these.
            if matches!(self.gate.status(id).await?, GateStatus::Open { available, returns: after, .. }
                if available <= 0 && after == returns)
            {
                sale.set_mark(Some(SoldOut {
                    returns,
                    holders: holders.into_boxed_slice(),
                }));
            }
        }
        Ok(())
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
