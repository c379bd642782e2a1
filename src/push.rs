//! Push: what clients that listen are told without asking, from memory. `sales` follows the catalog, `results` the gate's
//! announcements; the streams themselves are made by `api`.
//!
//! A listener is told the present state first, and later the latest one: nothing is queued, and a lost message costs nothing. Without
//! listeners nothing is read, and nothing is subscribed to.

mod results;
mod sales;
mod shoppers;
mod unread;

pub use results::{NotRead, ResultFeed};
pub use sales::{NoSaleNews, SaleFeed, SaleNews};
pub use shoppers::{NotLetIn, ResultListener, SaleResult, ShopperState};
