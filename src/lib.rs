//! `flashsale`: a flash-sale backend, made for the load of the second in which a sale opens.
//!
//! - [`port`]: the three ports (gate, log and ledger) and the types of their interfaces; below them [`ids`], [`account_key`] and
//!   [`clock`]
//! - [`auth`], [`sale`], [`order`]: the domain, by feature. `order` knows `sale`, `sale` knows `auth`, never backwards
//! - [`engine`]: implementations of the ports: Redis, Kafka, PostgreSQL, and embedded in one process; the domain never imports
//!   one
//! - [`events`]: events of orders and sales, for systems outside: by asking, in a topic
//! - [`demo`]: demo data, made through the ports
//! - [`rules`]: pure decisions that several engines share: settlement, and a sale's stock in memory
//! - [`http`]: what all routes share: the server, the format of answers and errors
//! - [`api`]: the HTTP contract above the domain: table of routes, handlers, mapping of errors, OpenAPI document
//! - [`push`]: sends sales and results to listeners, from memory
//! - [`limit`]: rate limits with a bounded memory, for the domain
//! - [`outgoing`]: the client for HTTP requests that the service sends, with its policy of addresses
//! - [`security`]: the security log: which client did what, and from which address
//! - [`commands`]: the command line, which chooses the engines
//! - [`stress`]: puts load on a running system over HTTP, and checks the answers that shoppers got
//! - [`config`], [`lifecycle`], [`telemetry`]: settings, how a process runs and ends, logs and metrics
//! - [`terminal`], `unicode`: text on terminals, Unicode's tables
//!
//! `docs/ARCHITECTURE.md` has the complete map and follows one purchase and one record through it.

pub mod account_key;
pub mod api;
pub mod auth;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod engine;
pub mod events;
pub mod http;
pub mod ids;
pub mod lifecycle;
pub mod limit;
pub mod order;
pub mod outgoing;
pub mod port;
pub mod push;
pub mod rules;
pub mod sale;
pub mod security;
pub mod stress;
pub mod telemetry;
pub mod terminal;
mod unicode;
