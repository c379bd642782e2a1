//! Waiting for a condition instead of for luck.

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
    assert!(
        holds_within(patience, condition).await,
        "after {patience:?} still not: {what}"
    );
}

/// Whether a condition holds before the deadline.
pub async fn holds_within<F: Future<Output = bool>>(
    patience: Duration,
    condition: impl Fn() -> F,
) -> bool {
    let deadline = Instant::now() + patience;
    while !condition().await {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
