//! Counts the presses of an API node by their answers. Every press is counted while it is answered, so a count is only an atomic
//! increment.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::{Counter, Histogram, counter, histogram};

use super::latency::{Latency, LatencyCounts};
use crate::{order::Refusal, port::AttemptRates, telemetry::metric};

/// The answer to a press, as the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::order) enum Press {
    Accepted,
    /// The press was answered with an earlier attempt of the shopper.
    AlreadyHeld,
    Refused(Refusal),
}

/// The counters of one API node since its start.
pub struct AttemptCounts {
    accepted: Count,
    already_held: Count,
    refused: [Count; REFUSALS.len()],
    limited: Count,
    latency: LatencyCounts,
    durations: Durations,
}

/// The metrics' histograms of the time until the answer, for the presses that were sent to the gate.
struct Durations {
    accepted: Histogram,
    already_held: Histogram,
    refused: Histogram,
    failed: Histogram,
}

/// One number that is counted twice: for the overview and for the metrics.
struct Count {
    count: AtomicU64,
    metric: Counter,
}

/// All refusals with their labels in the metrics.
const REFUSALS: [(Refusal, &str); 9] = [
    (Refusal::UnknownSale, "unknown_sale"),
    (Refusal::NotStarted, "not_started"),
    (Refusal::Ended, "ended"),
    (Refusal::SoldOut, "sold_out"),
    (Refusal::Paused, "paused"),
    (Refusal::Preparing, "preparing"),
    (Refusal::Busy, "busy"),
    (Refusal::Unavailable, "unavailable"),
    (Refusal::OutcomeUnknown, "outcome_unknown"),
];

/// The counts of a node since its start, as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AttemptReading {
    /// Counts, although the type is named after the rates that [`AttemptReading::since`] makes of two readings.
    counts: AttemptRates,
    latency: Vec<u64>,
}

impl Count {
    fn new(outcome: &'static str) -> Self {
        Self {
            count: AtomicU64::new(0),
            metric: counter!(metric::ATTEMPTS, "outcome" => outcome),
        }
    }

    fn increment(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.metric.increment(1);
    }

    fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Default for AttemptCounts {
    fn default() -> Self {
        Self {
            accepted: Count::new("accepted"),
            already_held: Count::new("already_held"),
            refused: REFUSALS.map(|(_, label)| Count::new(label)),
            limited: Count::new("limited"),
            latency: LatencyCounts::default(),
            durations: Durations::default(),
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        let of = |outcome| histogram!(metric::ATTEMPT_DURATION, "outcome" => outcome);
        Self {
            accepted: of("accepted"),
            already_held: of("already_held"),
            refused: of("refused"),
            failed: of("failed"),
        }
    }
}

impl Durations {
    fn of(&self, press: Press) -> &Histogram {
        match press {
            Press::Accepted => &self.accepted,
            Press::AlreadyHeld => &self.already_held,
            Press::Refused(Refusal::Busy | Refusal::Unavailable | Refusal::OutcomeUnknown) => {
                &self.failed
            }
            Press::Refused(
                Refusal::UnknownSale
                | Refusal::NotStarted
                | Refusal::Ended
                | Refusal::SoldOut
                | Refusal::Paused
                | Refusal::Preparing,
            ) => &self.refused,
        }
    }
}

impl AttemptCounts {
    pub(in crate::order) fn count(&self, press: Press) {
        match press {
            Press::Accepted => self.accepted.increment(),
            Press::AlreadyHeld => self.already_held.increment(),
            Press::Refused(refusal) => self.of(refusal).increment(),
        }
    }

    /// Counts a press that a limit refused before anything else was checked.
    pub fn count_limited(&self) {
        self.limited.increment();
    }

    /// Counts the time until the answer, for a press that was sent to the gate. A press that is answered from memory is left out:
    /// in a rush on a sold-out sale, the times of such presses would hide the times of the buyers.
    pub(in crate::order) fn took(&self, press: Press, time: Duration) {
        self.latency.count(time);
        self.durations.of(press).record(time);
    }

    fn of(&self, refusal: Refusal) -> &Count {
        // In the order of `REFUSALS`.
        let [
            unknown_sale,
            not_started,
            ended,
            sold_out,
            paused,
            preparing,
            busy,
            unavailable,
            outcome_unknown,
        ] = &self.refused;
        match refusal {
            Refusal::UnknownSale => unknown_sale,
            Refusal::NotStarted => not_started,
            Refusal::Ended => ended,
            Refusal::SoldOut => sold_out,
            Refusal::Paused => paused,
            Refusal::Preparing => preparing,
            Refusal::Busy => busy,
            Refusal::Unavailable => unavailable,
            Refusal::OutcomeUnknown => outcome_unknown,
        }
    }

    pub(super) fn read(&self) -> AttemptReading {
        // The overview shows some refusals as one number.
        let sum = |refusals: &[Refusal]| refusals.iter().map(|of| self.of(*of).get()).sum();
        AttemptReading {
            counts: AttemptRates {
                accepted: self.accepted.get(),
                already_held: self.already_held.get(),
                sold_out: sum(&[Refusal::SoldOut]),
                not_open: sum(&[
                    Refusal::UnknownSale,
                    Refusal::NotStarted,
                    Refusal::Ended,
                    Refusal::Paused,
                    Refusal::Preparing,
                ]),
                limited: self.limited.get(),
                unavailable: sum(&[Refusal::Busy, Refusal::Unavailable]),
                unknown: sum(&[Refusal::OutcomeUnknown]),
            },
            latency: self.latency.all(),
        }
    }
}

impl AttemptReading {
    /// Presses per second since an earlier reading, and the histogram of their times: pairs of a bucket's index and its count.
    pub(super) fn since(
        &self,
        before: &Self,
        elapsed: Duration,
    ) -> (AttemptRates, Vec<(u16, u64)>) {
        let (now, then) = (&self.counts, &before.counts);
        let rate = |now: u64, then: u64| per_second(now.saturating_sub(then), elapsed);
        let rates = AttemptRates {
            accepted: rate(now.accepted, then.accepted),
            already_held: rate(now.already_held, then.already_held),
            sold_out: rate(now.sold_out, then.sold_out),
            not_open: rate(now.not_open, then.not_open),
            limited: rate(now.limited, then.limited),
            unavailable: rate(now.unavailable, then.unavailable),
            unknown: rate(now.unknown, then.unknown),
        };
        (rates, Latency::between(&before.latency, &self.latency))
    }
}

/// The rate per second of a count, rounded. An elapsed time below one millisecond counts as one millisecond.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // counts of about a second
pub(super) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let secs = elapsed.as_secs_f64().max(0.001);
    (count as f64 / secs).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_counted_once_and_by_its_own_label() {
        let counts = AttemptCounts::default();
        for (refusal, _) in REFUSALS {
            counts.count(Press::Refused(refusal));
        }
        for (count, (_, label)) in counts.refused.iter().zip(REFUSALS) {
            assert_eq!(count.get(), 1, "{label}");
        }
        counts.count(Press::Accepted);
        counts.count(Press::AlreadyHeld);
        counts.count_limited();
        let expected = AttemptRates {
            accepted: 1,
            already_held: 1,
            sold_out: 1,
            not_open: 5,
            limited: 1,
            unavailable: 2,
            unknown: 1,
        };
        assert_eq!(counts.read().counts, expected);
    }

    #[test]
    fn rates_are_of_the_time_between_two_readings() {
        let counts = AttemptCounts::default();
        counts.count(Press::Accepted);
        let before = counts.read();
        for _ in 0..300 {
            counts.count(Press::Accepted);
            counts.took(Press::Accepted, Duration::from_millis(2));
        }
        let (rates, latency) = counts.read().since(&before, Duration::from_secs(2));
        assert_eq!(rates.accepted, 150);
        assert_eq!(latency.iter().map(|(_, count)| count).sum::<u64>(), 300);
    }
}
