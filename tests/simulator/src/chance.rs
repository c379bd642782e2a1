//! The random numbers of a simulation. The numbers of a seed are the same on every machine and with every version of every
//! library, so that a recorded seed can be replayed later.

use std::time::Duration;

/// `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A second generator. Its numbers do not depend on how many are taken from this one later.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True with a probability of `times` in 1,000.
    pub(super) fn per_mille(&mut self, times: u64) -> bool {
        self.next() % 1_000 < times
    }

    /// A duration from `low` to `high` milliseconds, both included.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// One of `first` and `others`, each with the same probability.
    pub(super) fn pick<T: Clone>(&mut self, first: &T, others: &[T]) -> T {
        let index = self.index(others.len() + 1);
        let other = index.checked_sub(1).and_then(|index| others.get(index));
        other.unwrap_or(first).clone()
    }

    /// An index into a list of `count` items.
    pub(super) fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count.max(1)).unwrap_or(1);
        usize::try_from(self.next() % count).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper() {
        // The first three numbers of the reference implementation for the seed 1234567.
        let mut chance = Chance::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([chance.next(), chance.next(), chance.next()], expected);
    }
}
