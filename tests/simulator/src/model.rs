//! Models of the three ports: plain maps in memory that answer immediately. Simulations use them, because they need engines
//! that are exact, deterministic, and can be inspected and damaged. The models pass the contract tests of the real engines.
//!
//! The model of the gate uses the embedded gate's rules of a sale (`rules::sale`), `rules::settlement` decides the outcomes of
//! logged attempts, and records are encoded as in every log. So a simulation runs the product's own code. The models have no
//! threads, no I/O, and no maps with a random order.

mod gate;
mod leases;
mod ledger;
mod log;
mod results;

pub use flashsale::rules::sale::Part;
pub use gate::{GateImage, ModelGate};
pub use ledger::{LedgerImage, LedgerRead, ModelLedger};
pub use log::ModelLog;
