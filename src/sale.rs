//! Sales as shoppers see them: which there are, when they are open, what is left; and how operators change them (`steering`, with
//! what they send in `forms`).
//!
//! Everything a shopper's request needs is in memory: [`SaleCatalog`] is refreshed in the background. Only a request for a sale that
//! is not there waits until the catalog was read again.

mod balance;
mod catalog;
pub mod forms;
mod gate_clock;
mod public;
mod refresh;
mod steering;

pub use balance::{Balance, BalanceSource};
pub use catalog::{Admission, MARK_VALID_FOR, SaleCatalog, SaleStatus, SaleView};
pub use gate_clock::GateClock;
pub use public::{PublicPhase, PublicSale, SaleWithResults, StockLevel};
pub use refresh::{CatalogCalls, CatalogRefresh};
pub use steering::{
    Applied, CancelledOrder, KnownAttempt, ReservedAttempt, Shifted, Steered, Steering,
};
