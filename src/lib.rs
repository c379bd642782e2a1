//! `flashsale`: takes the second in which a sale opens.
//!
//! - [`port`]: the three ports to the servers behind it, and the types they speak in; [`ids`], [`account_key`] and [`clock`] below
//!   them
//! - [`auth`], [`sale`], [`order`]: the domain, by feature. `order` knows `sale`, `sale` knows `auth`, never backwards
//! - [`engine`]: the ports on Redis, Kafka and PostgreSQL, embedded in one process, and as models; the domain never names
//!   one
//! - [`rules`]: pure decisions that several engines share: settlement, and a sale's stock in memory
//! - [`http`]: the kit that routes are made of: the server, the shape of answers and errors
//! - [`api`]: the HTTP contract above the domain: table of routes, handlers, answers to errors, OpenAPI document
//! - [`limit`]: rate limits with a bounded memory, for the domain
//! - [`security`]: the security log: who did what from where
//! - [`commands`]: the command line, which chooses the engines
//! - [`simulation`]: whole histories under faults, from a seed, on the models
//! - [`stress`]: load on a running system over HTTP, and what its shoppers were told
//! - [`config`], [`lifecycle`], [`telemetry`]: settings, how a process runs and ends, logs and metrics
//!
//! `docs/ARCHITECTURE.md` draws the map and walks one purchase through it.

pub mod account_key;
pub mod api;
pub mod auth;
pub mod clock;
pub mod commands;
pub mod config;
pub mod engine;
pub mod http;
pub mod ids;
pub mod lifecycle;
pub mod limit;
pub mod order;
pub mod port;
pub mod rules;
pub mod sale;
pub mod security;
pub mod simulation;
pub mod stress;
pub mod telemetry;
pub mod terminal;
mod unicode;
