//! The shop of one API node: board, purchases and results, put together on the ports.

use std::{sync::Arc, time::Duration};

use super::{Purchase, Results};
use crate::{
    lifecycle::Lifecycle,
    port::{LedgerError, Ports},
    sale::{CatalogCalls, GateClock, Refresh, SaleBoard},
};

/// What handlers of requests work with.
#[derive(Clone)]
pub struct Shop {
    pub board: Arc<SaleBoard>,
    pub calls: Arc<CatalogCalls>,
    pub purchase: Arc<Purchase>,
    pub results: Arc<Results>,
}

impl Shop {
    /// Reads the catalog once and starts what runs in the background. Sales stay on the board for `keep` after their end.
    pub async fn open(
        lifecycle: &Lifecycle,
        engines: Ports,
        keep: Duration,
    ) -> Result<Self, LedgerError> {
        let Ports {
            gate,
            log,
            ledger,
            clock,
        } = engines;
        let gate_clock = Arc::new(GateClock::new(Arc::clone(&clock)));
        // Until it answers, it is asked about everything.
        let _ = gate_clock.compare(gate.as_ref()).await;
        let board = Arc::new(SaleBoard::new(Arc::clone(&gate_clock)));
        let calls = Arc::new(CatalogCalls::default());
        let refresh = Arc::new(Refresh {
            board: Arc::clone(&board),
            ledger,
            gate: Arc::clone(&gate),
            clock: Arc::clone(&gate_clock),
            calls: Arc::clone(&calls),
            keep,
        });
        refresh.catalog().await?;
        let stop = lifecycle.stop();
        let (catalog, stock) = (Arc::clone(&refresh), refresh);
        let (catalog_stop, stock_stop) = (stop.clone(), stop.clone());
        lifecycle.spawn("catalog", async move {
            catalog.keep_catalog(catalog_stop).await;
        });
        let (compared, clock_stop) = (Arc::clone(&gate), stop.clone());
        lifecycle.spawn("clock", async move {
            gate_clock
                .keep_comparing(compared.as_ref(), clock_stop)
                .await;
        });
        lifecycle.spawn("stock", async move { stock.keep_stock(stock_stop).await });

        let results = Arc::new(Results::start(
            lifecycle,
            Arc::clone(&gate),
            Arc::clone(&board),
        ));
        let purchase = Arc::new(Purchase::start(
            lifecycle,
            gate,
            log,
            Arc::clone(&board),
            Arc::clone(&calls),
            Arc::clone(&results),
            clock,
        ));
        Ok(Self {
            board,
            calls,
            purchase,
            results,
        })
    }
}
