//! Purchases: from a press of "buy" to the order, and the result a shopper reads.
//!
//! `purchase` and `results` are the API's side, put together in `services`; `worker` with its children the consumers'; `audit`,
//! `dead_letters` and `figures` are the operators'.

pub mod audit;
mod batcher;
pub mod dead_letters;
pub mod figures;
mod lag;
mod limit;
mod purchase;
mod reply_queue;
mod results;
mod services;
mod trace;
mod worker;

pub use lag::{SettlementLag, WatchedServers};
pub use limit::AttemptLimit;
pub use purchase::{Accepted, Purchase, Refusal};
pub use reply_queue::ReplyQueue;
pub use results::Results;
pub use services::Services;
pub use worker::{SaleController, Worker, WorkerSettings};
