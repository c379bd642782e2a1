//! Rate limits: how often the same key may come. Knows neither HTTP nor what the keys mean.
//!
//! Counts are this process's own and in memory: asking a server about every request is what the limits are to prevent.

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

/// Refused. The same would be let in after so long, if nothing else comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many; the next is let in after {retry_after:?}")]
pub struct TooMany {
    pub retry_after: Duration,
}

/// Lets every key come so often in a period: all at once if it likes, then as one after the other comes back (GCRA).
///
/// Its time is monotonic and not [`Clock`](crate::clock::Clock)'s: a clock set back would shut everybody out.
pub struct Limiter<C: Clock = MonotonicClock> {
    /// `None` lets everything through.
    on: Option<On<C>>,
}

struct On<C: Clock> {
    governor: RateLimiter<u64, Memory, C, NoOpMiddleware<C::Instant>>,
    memory: Memory,
    /// Keys are kept as keyed hashes: small whatever comes, and nobody can make two of them meet.
    hasher: RandomState,
    burst: NonZeroU32,
    /// After how long one use comes back.
    interval: Duration,
}

impl Limiter {
    /// `count` in a `period`; a count of 0 lets everything through.
    #[must_use]
    pub fn new(count: u32, period: Duration) -> Self {
        Self::with_clock(count, period, MonotonicClock)
    }
}

impl<C: Clock> Limiter<C> {
    fn with_clock(count: u32, period: Duration, clock: C) -> Self {
        let on = NonZeroU32::new(count).and_then(|burst| {
            let interval = period / count;
            let quota = Quota::with_period(interval)?.allow_burst(burst);
            let memory = Memory::default();
            Some(On {
                governor: RateLimiter::new(quota, memory.clone(), clock),
                memory,
                hasher: RandomState::new(),
                burst,
                interval,
            })
        });
        Self { on }
    }

    /// How many a key has when it did not come for long; 0 if there is no limit.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.on.as_ref().map_or(0, |on| on.burst.get())
    }

    /// Takes so many uses of a key, or none of them. More than it can ever have count as all that it can have.
    pub fn take(&self, key: &impl Hash, uses: u32) -> Result<(), TooMany> {
        self.on.as_ref().map_or(Ok(()), |on| on.take(key, uses))
    }

    /// Gives back what was taken and turned out not to count.
    pub fn give_back(&self, key: &impl Hash, uses: u32) {
        if let Some(on) = &self.on {
            let uses = uses.min(on.burst.get());
            on.memory
                .give_back(on.hasher.hash_one(key), on.interval * uses);
        }
    }
}

impl<C: Clock> On<C> {
    fn take(&self, key: &impl Hash, uses: u32) -> Result<(), TooMany> {
        let Some(uses) = NonZeroU32::new(uses.min(self.burst.get())) else {
            return Ok(());
        };
        if self.memory.is_crowded() {
            self.governor.retain_recent();
        }
        let key = self.hasher.hash_one(key);
        match self.governor.check_key_n(&key, uses) {
            Ok(Err(refused)) => Err(TooMany {
                retry_after: refused.wait_time_from(self.governor.clock().now()),
            }),
            // That it can never be let in does not happen: uses are at most the burst.
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
    fn a_key_comes_so_often_at_once_and_then_as_uses_come_back() {
        let (limiter, clock) = limiter(6);
        assert_eq!(taken(&limiter, 1), 6);
        assert_eq!(taken(&limiter, 2), 6, "every key has its own");
        clock.advance(Duration::from_secs(25));
        assert_eq!(taken(&limiter, 1), 2);
        clock.advance(MINUTE * 100);
        assert_eq!(taken(&limiter, 1), 6, "no more than that is saved up");
    }

    #[test]
    fn the_told_wait_is_exactly_long_enough() {
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
    fn who_is_refused_is_not_kept_out_for_longer() {
        let (limiter, clock) = limiter(6);
        assert_eq!(taken(&limiter, 1), 6);
        for _ in 0..10_000 {
            assert!(limiter.take(&1, 1).is_err());
        }
        clock.advance(Duration::from_secs(10));
        assert_eq!(taken(&limiter, 1), 1);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
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
    fn more_uses_than_there_are_count_as_all() {
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
    fn memory_is_bounded_and_forgets_who_has_least_to_answer_for() {
        let (limiter, clock) = limiter(6);
        for key in 0..1_000_u32 {
            assert_eq!(limiter.take(&key, 6), Ok(()));
        }
        for key in 1_000..300_000_u32 {
            clock.advance(Duration::from_nanos(1));
            assert_eq!(limiter.take(&key, 1), Ok(()));
        }
        let kept = limiter.on.as_ref().unwrap().memory.count();
        assert!(kept <= memory::MOST_KEYS, "{kept} are kept");
        assert!((0..1_000).all(|key| limiter.take(&key, 1).is_err()));
    }

    #[test]
    fn who_is_fresh_again_is_forgotten() {
        let (limiter, clock) = limiter(6);
        for key in 0..30_000_u32 {
            // Three are forgiven in each step, so that never more than a few are worth being remembered.
            clock.advance(Duration::from_secs(30));
            assert_eq!(limiter.take(&key, 1), Ok(()));
        }
        let kept = limiter.on.as_ref().unwrap().memory.count();
        assert!(kept < 10_000, "{kept} are kept");
    }
}
