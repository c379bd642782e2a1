//! Sales as shoppers see them: which there are, when they are open, what is left.
//!
//! Everything a request needs is in memory: [`SaleCatalog`] is refreshed in the background. Only a request for a sale that is not
//! there waits until the catalog was read again.

mod catalog;
mod gate_clock;
mod refresh;

pub use catalog::{Admission, SaleCatalog, SaleStatus, SaleView};
pub use gate_clock::GateClock;
pub use refresh::{CatalogCalls, CatalogRefresh};
