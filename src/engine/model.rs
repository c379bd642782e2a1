//! The three ports as models: plain maps in memory that answer at once. For simulations, which need engines that are
//! exact, deterministic and can be looked into and damaged; they pass the same contract suites as the real ones.
//!
//! A gate's rules about one sale are those of the embedded gate (`rules::sale`), what becomes of logged attempts is
//! decided by `rules::settlement`, records are written as every log writes them: what is simulated is the product. There
//! are no threads here, no I/O, and no map whose order is chance.

mod gate;
mod leases;
mod ledger;
mod log;

pub use crate::rules::sale::Part;
pub use gate::{GateImage, ModelGate};
pub use ledger::{LedgerImage, ModelLedger};
pub use log::ModelLog;
