//! A histogram with fixed buckets. To record a value is two increments of counters that threads of other cores rarely write.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use metrics::HistogramFn;

/// Copies of the counters. Threads take turns to get one, so that many threads do not increment the same memory.
const SHARDS: usize = 8;
/// Most bounds of a histogram, so that a shard needs no memory elsewhere.
pub(super) const MOST_BOUNDS: usize = 15;
/// Sums are kept in billionths: nanoseconds, of histograms in seconds.
const PRECISION: f64 = 1e9;

/// Counts of values by the bucket that they fall into.
#[derive(Debug)]
pub(super) struct Buckets {
    bounds: &'static [f64],
    shards: [Shard; SHARDS],
}

/// The counters of some threads, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// One for each bound, and one for values above all of them. The rest stays 0.
    counts: [AtomicU64; MOST_BOUNDS + 1],
    sum: AtomicU64,
}

/// What was counted until one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Counted {
    /// Values of each bucket, not cumulative.
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
}

thread_local! {
    /// The shard of this thread.
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Buckets {
    /// With [`MOST_BOUNDS`] at most.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            shards: Default::default(),
        }
    }

    pub(super) fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    pub(super) fn read(&self) -> Counted {
        let mut counts = vec![0; self.bounds.len() + 1];
        let mut sum = 0_u64;
        for shard in &self.shards {
            for (total, count) in counts.iter_mut().zip(&shard.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            sum = sum.wrapping_add(shard.sum.load(Ordering::Relaxed));
        }
        #[allow(clippy::cast_precision_loss)] // a sum of measurements
        let sum = sum as f64 / PRECISION;
        Counted { counts, sum }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let Some(shard) = self.shards.get(shard_of_thread()) else {
            return;
        };
        if let Some(count) = shard.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
        let part = (value * PRECISION) as u64;
        shard.sum.fetch_add(part, Ordering::Relaxed);
    }
}

fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SHARD.with(|shard| {
        let index = shard
            .get()
            .unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        shard.set(Some(index));
        index
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_threads_are_in_the_bucket_of_the_bound_above_them() {
        let buckets = Buckets::new(&[0.5, 1.0, 2.0]);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| [0.1, 0.5, 0.6, 2.0, 7.0].map(|value| buckets.record(value)));
            }
        });
        let counted = buckets.read();
        assert_eq!(counted.counts, [40, 20, 20, 20]);
        assert!((counted.sum - 20.0 * 10.2).abs() < 1e-6, "{counted:?}");
    }
}
