//! The measurements of a load.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::no_answer::NoAnswer;

/// Length of the intervals for which answers are counted.
pub const SLICE: Duration = Duration::from_millis(100);
/// Longest latency in microseconds that is recorded, with three significant digits. A longer one is recorded as this.
const LONGEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;
/// Highest number of intervals: a week. Later answers are counted in no interval.
const SLICES_MAX: usize = 6_048_000;

/// The measurements of a load.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Latencies of all answers, whatever their status, in microseconds.
    pub latency: Histogram<u64>,
    pub statuses: BTreeMap<u16, u64>,
    pub no_answers: BTreeMap<NoAnswer, u64>,
    /// Answers by their time of arrival, one [`SLICE`] after the other from the start.
    pub slices: Vec<Slice>,
    /// From the start until the last answer.
    pub elapsed: Duration,
    /// Processor time of the threads that made the load; `None` where the operating system does not tell.
    pub cpu: Option<Duration>,
    /// Requests that were due before the end of a load with a rate and a duration, and for which no connection was free.
    pub unsent: u64,
    /// Requests of a load with a rate that were begun too late because this machine was busy. Their latencies count from when they
    /// were due.
    pub late: u64,
}

/// The answers of one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slice {
    pub answers: u64,
    /// Answers with a status of 2xx.
    pub successes: u64,
}

impl Default for Stats {
    #[allow(clippy::expect_used)] // of constants
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("fitting bounds");
        Self {
            latency,
            statuses: BTreeMap::new(),
            no_answers: BTreeMap::new(),
            slices: Vec::new(),
            elapsed: Duration::ZERO,
            cpu: Some(Duration::ZERO),
            unsent: 0,
            late: 0,
        }
    }
}

impl Stats {
    /// Records a request. `took` is its latency; `since_start` is when it ended, counted from the start of the load.
    pub(super) fn record(
        &mut self,
        outcome: Result<u16, NoAnswer>,
        took: Duration,
        since_start: Duration,
    ) {
        self.elapsed = self.elapsed.max(since_start);
        let status = match outcome {
            Ok(status) => status,
            Err(cause) => {
                *self.no_answers.entry(cause).or_default() += 1;
                return;
            }
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros);
        *self.statuses.entry(status).or_default() += 1;
        let slice = since_start.as_millis() / SLICE.as_millis();
        let slice = usize::try_from(slice).unwrap_or(usize::MAX);
        if slice >= SLICES_MAX {
            return;
        }
        if self.slices.len() <= slice {
            self.slices.resize(slice + 1, Slice::default());
        }
        if let Some(slice) = self.slices.get_mut(slice) {
            slice.answers += 1;
            slice.successes += u64::from((200..300).contains(&status));
        }
    }

    /// Adds the measurements of another thread.
    pub(super) fn merge(&mut self, other: &Self) {
        // Both histograms have the same bounds, so that adding them cannot fail.
        let _ = self.latency.add(&other.latency);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (cause, count) in &other.no_answers {
            *self.no_answers.entry(*cause).or_default() += count;
        }
        if self.slices.len() < other.slices.len() {
            self.slices.resize(other.slices.len(), Slice::default());
        }
        for (slice, more) in self.slices.iter_mut().zip(&other.slices) {
            slice.answers += more.answers;
            slice.successes += more.successes;
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu = self.cpu.zip(other.cpu).map(|(one, more)| one + more);
        self.unsent += other.unsent;
        self.late += other.late;
    }

    /// Answers of any kind.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.latency.len()
    }

    /// Requests that got no answer.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.no_answers.values().sum()
    }

    /// Answers a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // for people
        let answers = self.answers() as f64;
        if self.elapsed.is_zero() {
            0.0
        } else {
            answers / self.elapsed.as_secs_f64()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_measured_adds_up() {
        let at = Duration::from_millis;
        let (mut one, mut other) = (Stats::default(), Stats::default());
        one.record(Ok(200), at(1), at(50));
        one.record(Err(NoAnswer::Timeout), at(30), at(80));
        other.record(Ok(409), at(3), at(250));
        one.merge(&other);
        assert_eq!((one.answers(), one.unanswered()), (2, 1));
        assert_eq!(one.elapsed, at(250));
        assert_eq!(one.statuses, BTreeMap::from([(200, 1), (409, 1)]));
        let answers: Vec<_> = one.slices.iter().map(|slice| slice.answers).collect();
        assert_eq!(answers, [1, 0, 1]);
        assert_eq!(one.slices[2].successes, 0);
        assert!((one.throughput() - 8.0).abs() < 1e-9);
        assert!(one.latency.max().abs_diff(3_000) < 4);
    }
}
