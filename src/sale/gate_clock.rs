//! The gate's time, as this node knows it: compared every second, and carried on by the monotonic clock in between, so that a
//! machine's wrong clock decides nothing.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use metrics::gauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    port::{GateError, GateProbe},
    telemetry::metric,
};

/// How often the clocks are compared.
const INTERVAL: Duration = Duration::from_secs(1);
/// How old a comparison may be for this node to refuse by it. Without one the gate is asked.
const FRESH: TimeDelta = TimeDelta::seconds(5);
/// A comparison that took longer says too little: the gate's time is known to half of it, which must be well below the
/// margin around a sale's window (1 s).
const LONGEST_QUESTION: Duration = Duration::from_millis(500);
/// By how much the machine's clock may move against the monotonic one since the comparison. More: one of them was set, or
/// the machine was suspended, and the comparison counts no more.
const LONGEST_JUMP: TimeDelta = TimeDelta::milliseconds(250);

/// The gate's clock, seen from here.
pub struct GateClock {
    machine: Arc<dyn Clock>,
    /// Read with every press, so without a lock.
    last: ArcSwapOption<Comparison>,
}

/// What the clocks said at one moment.
#[derive(Clone, Copy)]
struct Comparison {
    at: Instant,
    gate: DateTime<Utc>,
    machine: DateTime<Utc>,
}

impl Comparison {
    /// The time that has passed, by the monotonic clock.
    fn passed(&self) -> TimeDelta {
        TimeDelta::from_std(self.at.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}

impl GateClock {
    /// Without a comparison yet.
    #[must_use]
    pub fn new(machine: Arc<dyn Clock>) -> Self {
        Self {
            machine,
            last: ArcSwapOption::empty(),
        }
    }

    /// The gate's time, if the clocks were compared within the last seconds; good to a quarter of a second.
    #[must_use]
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let last = self.last()?;
        let passed = last.passed();
        let moved = self.machine.now() - last.machine - passed;
        let counts = passed <= FRESH && moved.abs() <= LONGEST_JUMP;
        counts.then(|| last.gate + passed)
    }

    /// The best guess at the gate's time, for what is shown and refuses nobody: by the last comparison, however old; before
    /// the first, the machine's.
    #[must_use]
    pub fn guess(&self) -> DateTime<Utc> {
        match self.last() {
            Some(last) => last.gate + last.passed(),
            None => self.machine.now(),
        }
    }

    /// Compares the clocks once.
    pub async fn compare(&self, gate: &dyn GateProbe) -> Result<(), GateError> {
        let (begun, machine) = (Instant::now(), self.machine.now());
        let told = gate.now().await?;
        let took = begun.elapsed();
        if took > LONGEST_QUESTION {
            return Ok(());
        }
        self.note(begun + took / 2, told, machine + took / 2);
        let offset = machine + took / 2 - told;
        #[allow(clippy::cast_precision_loss)] // of milliseconds
        gauge!(metric::CLOCK_OFFSET).set(offset.num_milliseconds() as f64 / 1_000.0);
        Ok(())
    }

    /// Compares them again and again. While the gate is away, the last comparison gets older.
    pub async fn keep_comparing(&self, gate: &dyn GateProbe, stop: CancellationToken) {
        while tokio::time::timeout(INTERVAL, stop.cancelled())
            .await
            .is_err()
        {
            // Not logged here: the reader of the gate's stock logs that the gate is away.
            let _ = self.compare(gate).await;
        }
    }

    pub(super) fn note(&self, at: Instant, gate: DateTime<Utc>, machine: DateTime<Utc>) {
        let comparison = Comparison { at, gate, machine };
        self.last.store(Some(Arc::new(comparison)));
    }

    fn last(&self) -> Option<Comparison> {
        self.last.load().as_deref().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::advance;

    use super::*;

    struct Machine(Mutex<DateTime<Utc>>);

    impl Clock for Machine {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    /// A machine ten minutes ahead, compared at the gate's second 1,000.
    fn compared() -> (GateClock, Arc<Machine>) {
        let machine = Arc::new(Machine(Mutex::new(at(1_600))));
        let clock = GateClock::new(machine.clone());
        assert_eq!(clock.now(), None, "never compared");
        assert_eq!(clock.guess(), at(1_600));
        clock.note(Instant::now(), at(1_000), at(1_600));
        (clock, machine)
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_s_time_goes_on_for_some_seconds() {
        let (clock, machine) = compared();
        advance(Duration::from_secs(3)).await;
        *machine.0.lock().unwrap() = at(1_603);
        assert_eq!(clock.now(), Some(at(1_003)));
        advance(Duration::from_secs(3)).await;
        *machine.0.lock().unwrap() = at(1_606);
        assert_eq!(clock.now(), None, "too long ago");
        assert_eq!(clock.guess(), at(1_006));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_whose_clock_was_set_has_to_compare_anew() {
        let (clock, machine) = compared();
        *machine.0.lock().unwrap() = at(1_000);
        assert_eq!(clock.now(), None);
        assert_eq!(clock.guess(), at(1_000));
    }
}
