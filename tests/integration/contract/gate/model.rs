//! The gate of the simulator, as its beds for the suite: a server's, and that of one process.

use std::sync::Arc;

use async_trait::async_trait;
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{LedgerId, SaleId},
    port::StockGate,
};
use flashsale_simulator::model::{ModelGate, ModelLedger, Part};

use super::{Engine, Server};

/// As a server is.
pub struct ModelServer(Arc<ModelGate>);

/// As memory of a process is, with its results in a ledger.
pub struct ModelProcess(Arc<ModelGate>);

#[async_trait]
impl Engine for ModelServer {
    async fn start() -> Self {
        Self(Arc::new(ModelGate::server(Arc::new(SystemClock))))
    }

    fn gate(&self) -> Arc<dyn StockGate> {
        self.0.clone()
    }

    /// No other version ever wrote into it.
    fn write_raw_result(&self, _: &str, _: &str) -> bool {
        false
    }

    /// It keeps results for as long as a history lasts.
    fn result_ttl_secs(&self, _: &str) -> Option<i64> {
        None
    }
}

#[async_trait]
impl Engine for ModelProcess {
    async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger = Arc::new(ModelLedger::new(Arc::clone(&clock)));
        let nothing = std::collections::BTreeMap::new();
        Self(Arc::new(ModelGate::in_process(clock, ledger, nothing)))
    }

    fn gate(&self) -> Arc<dyn StockGate> {
        self.0.clone()
    }

    /// No other version ever wrote into it.
    fn write_raw_result(&self, _: &str, _: &str) -> bool {
        false
    }

    /// It keeps results for as long as a history lasts.
    fn result_ttl_secs(&self, _: &str) -> Option<i64> {
        None
    }
}

#[async_trait]
impl Server for ModelServer {
    async fn of_ledger(&self, ledger: LedgerId) -> Arc<dyn StockGate> {
        Arc::new(self.0.beside(ledger))
    }

    fn lose(&self, sale: SaleId, part: Part) {
        self.0.lose(sale, part);
    }
}
