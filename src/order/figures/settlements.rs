//! Counts what a worker settles, and how far its partitions are behind.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::port::{Outcome, Partition, Settlement};

/// The counters of one worker, since its start.
#[derive(Debug, Default)]
pub struct SettlementCounts {
    orders: AtomicU64,
    failed: AtomicU64,
    /// Records that are not settled, of each partition that the worker reads.
    lags: Mutex<BTreeMap<Partition, u64>>,
}

impl SettlementCounts {
    pub(in crate::order) fn count(&self, settlements: &[Settlement]) {
        let (mut orders, mut failed) = (0, 0);
        for settlement in settlements {
            match settlement.outcome {
                Outcome::Ordered => orders += 1,
                Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected => failed += 1,
                // Another attempt of the shopper has the order, or it has ended since.
                Outcome::AlreadyOrdered { .. } | Outcome::Released => {}
            }
        }
        self.orders.fetch_add(orders, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    /// Notes which partitions the worker reads from now on.
    pub(in crate::order) fn set_partitions(&self, partitions: impl Iterator<Item = Partition>) {
        let mut lags = self.lags();
        let read = partitions.map(|partition| {
            let lag = lags.get(&partition).copied().unwrap_or_default();
            (partition, lag)
        });
        *lags = read.collect();
    }

    /// Notes how many records of a partition are not settled, if the worker reads it.
    pub(in crate::order) fn set_lag(&self, partition: Partition, records: i64) {
        if let Some(lag) = self.lags().get_mut(&partition) {
            *lag = u64::try_from(records).unwrap_or_default();
        }
    }

    pub(super) fn orders(&self) -> u64 {
        self.orders.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The partitions that the worker reads, and the records of all of them that are not settled.
    pub(super) fn partitions_and_lag(&self) -> (Vec<i32>, u64) {
        let lags = self.lags();
        (
            lags.keys().map(|partition| partition.0).collect(),
            lags.values().sum(),
        )
    }

    fn lags(&self) -> MutexGuard<'_, BTreeMap<Partition, u64>> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_partitions_that_are_read() {
        let counts = SettlementCounts::default();
        counts.set_partitions([0, 1].map(Partition).into_iter());
        counts.set_lag(Partition(0), 5);
        counts.set_lag(Partition(1), 7);
        counts.set_lag(Partition(2), 100);
        assert_eq!(counts.partitions_and_lag(), (vec![0, 1], 12));
        counts.set_partitions([1, 2].map(Partition).into_iter());
        assert_eq!(counts.partitions_and_lag(), (vec![1, 2], 7));
    }
}
