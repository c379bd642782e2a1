//! Rate limits by key. This module knows neither HTTP nor the meaning of the keys.
//!
//! Each process counts for itself, in memory. Common counts would need a call to a server for every request, and the limits are
//! to protect the servers from such load.

mod by_network;
mod memory;
mod network;

use std::{
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
};

pub use by_network::NetworkLimiter;
use memory::Memory;
pub use network::{Network, Prefix, Reach};

/// A refusal by a rate limit. The same request is admitted after `retry_after`, unless other uses of the key come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many; the next is let in after {retry_after:?}")]
pub struct TooMany {
    pub retry_after: Duration,
}

/// Admits a number of uses of each key in a period (GCRA): all of them at once, then one for each use that has come back. Uses
/// come back at equal intervals.
///
/// The limiter uses monotonic time instead of [`Clock`](crate::clock::Clock): if a clock were set back, all keys would be
/// refused.
pub struct Limiter<C: Clock = MonotonicClock> {
    /// `None`: no limit.
    limit: Option<Limit<C>>,
}

struct Limit<C: Clock> {
    governor: RateLimiter<u64, Memory, C, NoOpMiddleware<C::Instant>>,
    memory: Memory,
    /// Keys are stored as hashes, whose size does not depend on the key. A random seed keeps clients from provoking collisions.
    hasher: RandomState,
    burst: NonZeroU32,
    /// The time after which one use comes back.
    interval: Duration,
}

impl Limiter {
    /// Admits `count` uses of a key in a `period`; a count of 0 means no limit.
    #[must_use]
    pub fn new(count: u32, period: Duration) -> Self {
        Self::with_clock(count, period, MonotonicClock)
    }
}

impl<C: Clock> Limiter<C> {
    fn with_clock(count: u32, period: Duration, clock: C) -> Self {
        let limit = NonZeroU32::new(count).and_then(|burst| {
            let interval = period / count;
            let quota = Quota::with_period(interval)?.allow_burst(burst);
            let memory = Memory::default();
            Some(Limit {
                governor: RateLimiter::new(quota, memory.clone(), clock),
                memory,
                hasher: RandomState::new(),
                burst,
                interval,
            })
        });
        Self { limit }
    }

    /// The number of uses that a key has after a long pause; 0 if there is no limit.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.limit.as_ref().map_or(0, |limit| limit.burst.get())
    }

    /// Takes `uses` uses of a key, or none of them. A number larger than [`Self::burst`] counts as the burst.
    pub fn take(&self, key: &impl Hash, uses: u32) -> Result<(), TooMany> {
        self.limit
            .as_ref()
            .map_or(Ok(()), |limit| limit.take(key, uses))
    }

    /// Gives back uses that were taken and turned out not to count.
    pub fn give_back(&self, key: &impl Hash, uses: u32) {
        if let Some(limit) = &self.limit {
            let uses = uses.min(limit.burst.get());
            limit
                .memory
                .give_back(limit.hasher.hash_one(key), limit.interval * uses);
        }
    }
}

impl<C: Clock> Limit<C> {
    fn take(&self, key: &impl Hash, uses: u32) -> Result<(), TooMany> {
        let Some(uses) = NonZeroU32::new(uses.min(self.burst.get())) else {
            return Ok(());
        };
        if self.memory.take_crowded() {
            self.governor.retain_recent();
        }
        let key = self.hasher.hash_one(key);
        match self.governor.check_key_n(&key, uses) {
            Ok(Err(refused)) => Err(TooMany {
                retry_after: refused.wait_time_from(self.governor.clock().now()),
            }),
            // `Err` means that the key can never have so many uses. It does not occur: `uses` is at most the burst.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn limiter(count: u32) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::with_clock(count, MINUTE, clock.clone()), clock)
    }

    fn taken<C: Clock>(limiter: &Limiter<C>, key: u32) -> usize {
        (0..1_000)
            .take_while(|_| limiter.take(&key, 1).is_ok())
            .count()
    }

    #[test]
    fn a_key_has_its_burst_and_then_the_uses_that_come_back() {
        let (limiter, clock) = limiter(6);
        assert_eq!(taken(&limiter, 1), 6);
        assert_eq!(taken(&limiter, 2), 6, "every key has its own");
        clock.advance(Duration::from_secs(25));
        assert_eq!(taken(&limiter, 1), 2);
        clock.advance(MINUTE * 100);
        assert_eq!(taken(&limiter, 1), 6, "no more than that is saved up");
    }

    #[test]
    fn retry_after_is_the_shortest_wait_that_suffices() {
        let (limiter, clock) = limiter(6);
        assert_eq!(limiter.take(&1, 4), Ok(()));
        clock.advance(Duration::from_secs(3));
        for uses in [3, 6] {
            let wait = limiter.take(&1, uses).unwrap_err().retry_after;
            clock.advance(wait.saturating_sub(Duration::from_millis(1)));
            assert!(limiter.take(&1, uses).is_err(), "{uses} a moment before");
            clock.advance(Duration::from_millis(1));
            assert_eq!(limiter.take(&1, uses), Ok(()), "{uses} after {wait:?}");
        }
    }

    #[test]
    fn refused_requests_do_not_prolong_the_wait() {
        let (limiter, clock) = limiter(6);
        assert_eq!(taken(&limiter, 1), 6);
        for _ in 0..10_000 {
            assert!(limiter.take(&1, 1).is_err());
        }
        clock.advance(Duration::from_secs(10));
        assert_eq!(taken(&limiter, 1), 1);
    }

    #[test]
    fn uses_that_are_given_back_can_be_taken_again_and_no_more() {
        let (limiter, clock) = limiter(6);
        for _ in 0..100 {
            assert_eq!(limiter.take(&1, 6), Ok(()));
            limiter.give_back(&1, 6);
        }
        assert_eq!(limiter.take(&1, 4), Ok(()));
        limiter.give_back(&1, 1);
        assert_eq!(taken(&limiter, 1), 3);
        clock.advance(MINUTE * 2);
        limiter.give_back(&1, 6);
        limiter.give_back(&2, 6);
        assert_eq!((taken(&limiter, 1), taken(&limiter, 2)), (6, 6));
    }

    #[test]
    fn more_uses_than_the_burst_count_as_the_burst() {
        let (limiter, _) = limiter(6);
        assert_eq!(limiter.take(&1, 1_000), Ok(()));
        assert_eq!(taken(&limiter, 1), 0);
    }

    #[test]
    fn zero_is_no_limit() {
        let (limiter, _) = limiter(0);
        assert_eq!(taken(&limiter, 1), 1_000);
        assert_eq!(limiter.burst(), 0);
    }

    #[test]
    fn memory_is_bounded_and_drops_the_keys_with_the_shortest_waits() {
        let (limiter, clock) = limiter(6);
        for key in 0..1_000_u32 {
            assert_eq!(limiter.take(&key, 6), Ok(()));
        }
        for key in 1_000..300_000_u32 {
            clock.advance(Duration::from_nanos(1));
            assert_eq!(limiter.take(&key, 1), Ok(()));
        }
        let kept = limiter.limit.as_ref().unwrap().memory.count();
        assert!(kept <= memory::MAX_KEYS, "{kept} are kept");
        assert!((0..1_000).all(|key| limiter.take(&key, 1).is_err()));
    }

    #[test]
    fn keys_that_have_all_uses_back_are_dropped() {
        let (limiter, clock) = limiter(6);
        for key in 0..30_000_u32 {
            // Each step brings three uses of a key back, so few keys have uses that are still out.
            clock.advance(Duration::from_secs(30));
            assert_eq!(limiter.take(&key, 1), Ok(()));
        }
        let kept = limiter.limit.as_ref().unwrap().memory.count();
        assert!(kept < 10_000, "{kept} are kept");
    }
}
