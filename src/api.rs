//! The HTTP contract: the table of routes, one file of handlers a resource, the answers to the domain's errors, probes and
//! the OpenAPI document.
//!
//! It is the layer above the domain: `http` is the kit that it is made of. [`serve`] puts it together on its ports.

mod accounts;
mod app;
mod assemble;
mod docs;
mod health;
mod mapping;
mod openapi;
mod orders;
mod readiness;
mod sale;
mod shopper;
mod table;

pub use app::{App, Probes};
pub use assemble::{serve, serve_probes, watch_settlement};
pub use openapi::{document, document_text};
pub use readiness::Readiness;

#[cfg(test)]
mod tests;
