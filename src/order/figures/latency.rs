//! A histogram of latencies with fixed buckets, so that those of several nodes can be added up.
//!
//! Each power of two of microseconds is divided into eight buckets, so a bucket is at most an eighth wider than its lower bound.
//! Processes of different versions exchange counts by the index of the bucket: the buckets must not change.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Number of buckets for each power of two of microseconds, as an exponent of 2.
const SUB_BITS: u32 = 3;
/// The last bucket begins at 15.7 s and has no upper bound: attempts are answered within 12 s.
const BUCKETS: usize = 8 * 22;

/// The highest count of a bucket. With this bound, the sum of all buckets cannot overflow.
const MOST: u64 = 1 << 40;

/// Counts latencies. Counting one is an atomic increment.
pub(super) struct LatencyCounts {
    buckets: [AtomicU64; BUCKETS],
}

/// Counts of the buckets that are not empty, by their index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    buckets: BTreeMap<u16, u64>,
}

impl Default for LatencyCounts {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl LatencyCounts {
    pub(super) fn count(&self, took: Duration) {
        if let Some(bucket) = self.buckets.get(index_of(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All counts since the start.
    pub(super) fn all(&self) -> Vec<u64> {
        let counts = self.buckets.iter();
        counts
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect()
    }
}

impl Latency {
    /// The counts that were added between two readings of all counts.
    pub(super) fn between(before: &[u64], after: &[u64]) -> Vec<(u16, u64)> {
        let added = after.iter().enumerate().map(|(index, count)| {
            let before = before.get(index).copied().unwrap_or_default();
            (
                u16::try_from(index).unwrap_or(u16::MAX),
                count.saturating_sub(before),
            )
        });
        added.filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn add(&mut self, counts: &[(u16, u64)]) {
        for (index, count) in counts {
            // The index was written by another process, so it may be any number.
            if usize::from(*index) < BUCKETS {
                let sum = self.buckets.entry(*index).or_default();
                *sum = sum.saturating_add(*count).min(MOST);
            }
        }
    }

    /// The latency in milliseconds that this share of the attempts did not exceed, interpolated within its bucket. `None`
    /// without attempts.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts of one second
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.buckets.values().sum();
        let rank = (total as f64 * share).max(1.0);
        let mut below = 0;
        for (index, count) in &self.buckets {
            if (below + count) as f64 >= rank {
                let [from, to] = [*index, *index + 1].map(lower_bound);
                let part = (rank - below as f64) / *count as f64;
                return Some((from + (to - from) * part) / 1_000.0);
            }
            below += count;
        }
        None
    }
}

/// The bucket of a latency. Values below eight microseconds have a bucket each; then the three bits below the highest one choose
/// among the eight buckets of a power of two.
fn index_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let octave = (u64::BITS - micros.leading_zeros()).saturating_sub(SUB_BITS + 1);
    let index = (u64::from(octave) << SUB_BITS) + (micros >> octave);
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The lower bound of a bucket, in microseconds.
#[allow(clippy::cast_precision_loss)] // exact below 2^53
fn lower_bound(index: u16) -> f64 {
    let index = u64::from(index);
    let octave = (index >> SUB_BITS).saturating_sub(1).min(48);
    ((index - (octave << SUB_BITS)) << octave) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_begins_where_the_one_before_ends() {
        for index in 0..u16::try_from(BUCKETS).unwrap() {
            let from = lower_bound(index);
            assert!(lower_bound(index + 1) > from, "{index}");
            assert!(
                index < 8 || lower_bound(index + 1) <= from * 1.13,
                "{index}"
            );
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let first = Duration::from_micros(from as u64);
            assert_eq!(index_of(first), usize::from(index), "{first:?}");
        }
        assert_eq!(index_of(Duration::from_hours(10)), BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_two_nodes_are_those_of_all_their_attempts() {
        let [fast, slow] = [LatencyCounts::default(), LatencyCounts::default()];
        let before = fast.all();
        for _ in 0..990 {
            fast.count(Duration::from_micros(1_200));
        }
        for _ in 0..10 {
            slow.count(Duration::from_millis(80));
        }
        let mut both = Latency::default();
        assert_eq!(both.percentile(0.5), None);
        both.add(&Latency::between(&before, &fast.all()));
        both.add(&Latency::between(&before, &slow.all()));
        let within = |share, expected: f64| {
            let found = both.percentile(share).unwrap();
            assert!(
                (found / expected - 1.0).abs() < 0.13,
                "{share}: {found} for {expected}"
            );
        };
        within(0.5, 1.2);
        within(0.99, 1.2);
        within(0.995, 80.0);
    }

    #[test]
    fn counts_of_a_bucket_that_does_not_exist_are_harmless() {
        let mut strange = Latency::default();
        strange.add(&[(u16::MAX, u64::MAX), (3, 1)]);
        assert!(strange.percentile(0.99).unwrap() < 0.005);
    }
}
