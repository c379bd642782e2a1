//! Keeps requests to each endpoint apart, so that it gets no more in a second than an operator allows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::port::WebhookId;

/// When the last request to each endpoint was sent.
#[derive(Default)]
pub(in super::super) struct Rate(Mutex<BTreeMap<WebhookId, Instant>>);

impl Rate {
    /// Waits until an endpoint may be sent the next request.
    pub(super) async fn wait(&self, id: WebhookId, per_second: u32) {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let next = {
            let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let next = sent
                .get(&id)
                .map_or(now, |last| (*last + interval).max(now));
            sent.insert(id, next);
            next
        };
        tokio::time::sleep_until(next).await;
    }

    /// Forgets endpoints that are no more.
    pub(super) fn retain(&self, is_there: impl Fn(WebhookId) -> bool) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|id, _| is_there(*id));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    async fn elapsed(begun: Instant, rate: &Rate, id: u128, per_second: u32) -> u128 {
        rate.wait(WebhookId(Uuid::from_u128(id)), per_second).await;
        begun.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_gets_so_many_requests_in_a_second_and_not_more() {
        let (rate, begun) = (Rate::default(), Instant::now());
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(elapsed(begun, &rate, 1, 4).await);
        }
        assert_eq!(times, [0, 250, 500, 750, 1_000]);
        assert_eq!(elapsed(begun, &rate, 2, 1).await, 1_000, "another endpoint");
        assert_eq!(elapsed(begun, &rate, 2, 1).await, 2_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_up_no_requests() {
        let (rate, begun) = (Rate::default(), Instant::now());
        elapsed(begun, &rate, 1, 2).await;
        tokio::time::advance(Duration::from_mins(1)).await;
        let times = [
            elapsed(begun, &rate, 1, 2).await,
            elapsed(begun, &rate, 1, 2).await,
            elapsed(begun, &rate, 1, 2).await,
        ];
        assert_eq!(times, [60_000, 60_500, 61_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_the_same_moment_are_kept_apart() {
        let (rate, begun) = (Rate::default(), Instant::now());
        let all = (0..3).map(|_| elapsed(begun, &rate, 1, 10));
        assert_eq!(futures::future::join_all(all).await, [0, 100, 200]);
    }
}
