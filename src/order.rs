//! Purchases: from a press of "buy" to the order, and the result a shopper reads.
//!
//! `purchase` and `results` are the API's side, `worker` with its children the consumers'.

mod gather;
mod purchase;
mod results;
pub mod routes;
pub mod settlement;
mod worker;

pub use purchase::{Accepted, Purchase, Refusal};
pub use results::Results;
pub use worker::{Engines, Worker, WorkerSettings};
