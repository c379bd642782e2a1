//! What the tests stand on: real servers, databases and processes of their own.

pub mod api;
pub mod app;
pub mod broker;
pub mod embedded;
pub mod kafka;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod seed;
pub mod system;
pub mod wire;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Waits for a condition, with a deadline.
pub async fn wait_until<F: Future<Output = bool>>(
    what: &str,
    patience: Duration,
    condition: impl Fn() -> F,
) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "after {patience:?} still not: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
