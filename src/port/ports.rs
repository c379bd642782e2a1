//! The three ports and the time together, as they are handed from the command line to what works on them.

use std::sync::Arc;

use super::{AttemptLog, Ledger, StockGate};
use crate::clock::Clock;

/// The engines behind the ports, and the time.
#[derive(Clone)]
pub struct Ports {
    pub gate: Arc<dyn StockGate>,
    pub log: Arc<dyn AttemptLog>,
    pub ledger: Arc<dyn Ledger>,
    pub clock: Arc<dyn Clock>,
}
