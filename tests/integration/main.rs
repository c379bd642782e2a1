//! All tests that need real servers, in one binary. `support` starts what they need.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test ends where these do
#![allow(clippy::disallowed_methods)] // tests have no configuration, clock or lifecycle of the program

#[macro_use]
mod on_systems;

mod abuse;
mod admin;
mod audit;
mod browser;
mod cli;
mod clients;
mod contract;
mod dead_letters;
mod doctor;
mod embedded;
mod events;
mod external;
mod faults;
mod http;
mod identity;
mod kafka_cluster;
mod kafka_security;
mod nodes;
mod original;
mod partitions;
mod postgres_modes;
mod postgres_pooler;
mod privacy;
mod push;
mod readiness;
mod redis_cluster;
mod redis_failover;
mod redis_rights;
mod redis_states;
mod redis_tls;
mod sale;
mod secrets;
mod security;
mod services;
mod sessions;
mod shutdown;
mod stress;
#[allow(dead_code)] // tests/faults stands on it as well
mod support;
mod switch;
mod terminal;
mod terms;
mod transfer;
mod worker;
