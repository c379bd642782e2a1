//! Waits until everything that was appended before a moment is settled.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::port::{Offset, Partition, PortError, Ports};

/// How often a barrier that is not passed is compared with the log as it is now.
const LOWER_EVERY: Duration = Duration::from_secs(5);

/// The ends of the log at some moment, of every partition that existed then. Once it is passed, everything appended before
/// that moment is settled.
pub(super) struct Barrier {
    ends: BTreeMap<Partition, Offset>,
    compared: Instant,
}

impl Barrier {
    /// Here and now. The log is asked which partitions it has: one that was added a moment ago may have records, too.
    pub(super) async fn now(engines: &Ports) -> Result<Self, PortError> {
        Ok(Self {
            ends: engines.log.ends().await?,
            compared: Instant::now(),
        })
    }

    /// True once every record before it is settled.
    pub(super) async fn is_passed(
        &mut self,
        engines: &Ports,
        group: &str,
    ) -> Result<bool, PortError> {
        let committed = engines
            .ledger
            .committed_offsets(group, engines.log.name())
            .await?;
        let settled =
            |partition: &Partition| committed.get(partition).copied().unwrap_or(Offset(0));
        let mut ends = self.ends.iter();
        let passed = ends.all(|(partition, end)| settled(partition) >= *end);
        if !passed && self.compared.elapsed() >= LOWER_EVERY {
            self.compared = Instant::now();
            let now = engines.log.ends().await?;
            self.lower_to(&now);
        }
        Ok(passed)
    }

    /// A log that was made anew has lost what the barrier waits for: it may have fewer partitions, and ends that are never
    /// reached again.
    fn lower_to(&mut self, now: &BTreeMap<Partition, Offset>) {
        self.ends.retain(|partition, end| match now.get(partition) {
            Some(there) => {
                *end = (*end).min(*there);
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends<const N: usize>(ends: [(i32, i64); N]) -> BTreeMap<Partition, Offset> {
        ends.map(|(partition, end)| (Partition(partition), Offset(end)))
            .into()
    }

    #[test]
    fn a_barrier_does_not_wait_for_what_a_log_that_was_made_anew_has_lost() {
        let mut barrier = Barrier {
            ends: ends([(0, 10), (1, 20), (2, 30)]),
            compared: Instant::now(),
        };
        // Partition 2 is gone, 1 is shorter, 0 went on, and 3 came later.
        barrier.lower_to(&ends([(0, 15), (1, 5), (3, 7)]));
        assert_eq!(barrier.ends, ends([(0, 10), (1, 5)]));
    }
}
