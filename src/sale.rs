//! Sales as shoppers see them: which there are, when they are open, what is left.
//!
//! Everything a request needs is in memory: [`SaleBoard`] is refreshed in the background, and requests never wait for it.

mod board;
mod refresh;
pub mod routes;

pub use board::{Admission, SaleBoard, SaleStatus, SaleView};
pub use refresh::Refresh;
