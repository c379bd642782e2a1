//! Purchases: from a press of "buy" to the order, and the result a shopper reads.

mod purchase;
mod results;

pub use purchase::{Accepted, Purchase, Refusal};
pub use results::Results;
