//! What all routes share: the server, the table of routes, the shape of answers and errors, probes and documentation.
//!
//! Errors of the domain become answers in [`mapping`](self) only; the features' own handlers are in their `routes.rs`.

mod answer;
mod app;
mod buffered;
mod client;
mod cors;
mod docs;
mod drain;
mod error;
mod error_code;
mod extract;
mod farewell;
mod finish;
mod framing;
mod health;
mod mapping;
mod networks;
mod openapi;
mod readiness;
mod server;
mod statuses;
mod stream;
mod table;
mod threads;

pub use answer::{Success, timestamp};
pub use app::{App, Probes};
pub use client::Client;
pub use error::ApiError;
pub use error_code::ErrorCode;
pub use extract::{Bearer, Fields, PathId, Shopper};
pub use openapi::{document, document_text};
pub use readiness::Readiness;
pub use server::{Bound, bind, run, run_probes};

#[cfg(test)]
mod tests;
