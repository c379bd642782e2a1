//! What the tests stand on: real servers, databases and processes of their own.

pub mod api;
pub mod app;
pub mod broker;
pub mod cluster;
pub mod embedded;
pub mod events;
pub mod issuer;
pub mod kafka;
pub mod mode;
pub mod postgres;
pub mod postgres_server;
pub mod process;
pub mod redis;
pub mod redis_topology;
pub mod rush;
pub mod seed;
pub mod system;
mod wait;
pub mod wire;

pub use wait::{holds_within, wait_until};
