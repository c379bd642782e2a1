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
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "after {patience:?} still not: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
