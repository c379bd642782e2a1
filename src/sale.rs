//! Sales as shoppers see them: which there are, when they are open, what is left.
//!
//! Everything a request needs is in memory: [`SaleBoard`] is refreshed in the background. Only a request for a sale that is not
//! there waits until the catalog was read again.

mod board;
mod gate_clock;
mod refresh;

pub use board::{Admission, SaleBoard, SaleStatus, SaleView};
pub use gate_clock::GateClock;
pub use refresh::{CatalogCalls, Refresh};
