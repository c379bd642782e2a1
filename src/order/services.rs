//! The services of one API node: catalog, purchases and results, put together on the ports.

use std::{sync::Arc, time::Duration};

use super::{Purchase, Results};
use crate::{
    lifecycle::Lifecycle,
    port::{LedgerError, Ports},
    sale::{CatalogCalls, CatalogRefresh, GateClock, SaleCatalog},
};

/// The services that handlers of requests use.
#[derive(Clone)]
pub struct Services {
    pub catalog: Arc<SaleCatalog>,
    pub calls: Arc<CatalogCalls>,
    pub purchase: Arc<Purchase>,
    pub results: Arc<Results>,
}

impl Services {
    /// Reads the catalog once and starts what runs in the background. Sales stay in the catalog for `keep` after their end.
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
        // A gate that does not answer is no error here. Until it answers, it is asked about every attempt.
        let _ = gate_clock.compare(gate.as_ref()).await;
        let catalog = Arc::new(SaleCatalog::new(Arc::clone(&gate_clock), keep));
        let calls = Arc::new(CatalogCalls::default());
        let refresh = Arc::new(CatalogRefresh {
            catalog: Arc::clone(&catalog),
            ledger,
            gate: gate.clone(),
            clock: Arc::clone(&gate_clock),
            calls: Arc::clone(&calls),
            keep,
        });
        refresh.read_listings().await?;
        let stop = lifecycle.stop();
        let (listings_refresh, stock_refresh) = (Arc::clone(&refresh), refresh);
        let (listings_stop, stock_stop) = (stop.clone(), stop.clone());
        lifecycle.spawn("catalog", async move {
            listings_refresh.keep_listings(listings_stop).await;
        });
        let (compared, clock_stop) = (Arc::clone(&gate), stop.clone());
        lifecycle.spawn("clock", async move {
            gate_clock
                .keep_comparing(compared.as_ref(), clock_stop)
                .await;
        });
        lifecycle.spawn("stock", async move {
            stock_refresh.keep_stock(stock_stop).await;
        });

        let results = Arc::new(Results::start(
            lifecycle,
            gate.clone(),
            Arc::clone(&catalog),
        ));
        let purchase = Arc::new(Purchase::start(
            lifecycle,
            gate,
            log,
            Arc::clone(&catalog),
            Arc::clone(&calls),
            Arc::clone(&results),
            clock,
        ));
        Ok(Self {
            catalog,
            calls,
            purchase,
            results,
        })
    }
}
