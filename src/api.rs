//! The HTTP contract: the table of routes, one file of handlers a resource, the answers to the domain's errors, probes and
//! the OpenAPI document.
//!
//! It is the layer above the domain: `http` is the kit that it is made of. [`serve`] puts it together on its ports.

mod access;
mod accounts;
pub mod admin;
mod app;
mod assemble;
mod docs;
mod events;
mod exchange;
mod health;
mod mapping;
mod openapi;
mod orders;
mod pages;
mod public;
mod readiness;
mod results;
mod router;
mod sale;
mod service;
mod shopper;
mod table;

pub use admin::{Doctor, Reports};
pub use app::{App, Probes};
pub use assemble::{
    Backoffice, Node, RunningWorker, serve, serve_inside, serve_probes, share_figures,
    watch_settlement,
};
pub use openapi::{document, document_text};
pub use readiness::Readiness;

#[cfg(test)]
mod tests;
