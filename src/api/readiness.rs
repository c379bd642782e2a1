//! Whether the servers behind this process answer, and whether its clock is right. Asked at most twice a second, however many probes come.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use metrics::gauge;
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    order::SettlementLag,
    port::{AttemptLog, GateProbe, LedgerProbe},
    telemetry::{LogThrottle, metric},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// By how much this machine's clock may be off the gate's.
const LARGEST_OFFSET: Duration = Duration::from_secs(3);
/// How long an answer is good for.
const FRESH: Duration = Duration::from_millis(500);
/// How often [`Readiness::watch`] asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Whether a server answers, or work is done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Up,
    Down,
    Late,
}

/// The state of everything this process depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dependencies {
    /// Who holds a unit (Redis).
    pub gate: State,
    /// The accepted attempts (Kafka).
    pub log: State,
    /// The system of record (PostgreSQL).
    pub ledger: State,
    /// This machine's clock: `down` if it is known to be off the gate's by more than three seconds.
    pub clock: State,
    /// Accepted attempts become orders: `late` when one has been waiting for more than `SETTLEMENT_LAG_SECS`.
    pub settlement: State,
}

impl Dependencies {
    /// Whether all of them answer.
    #[must_use]
    pub fn are_up(self) -> bool {
        [
            self.gate,
            self.log,
            self.ledger,
            self.clock,
            self.settlement,
        ]
        .iter()
        .all(|state| *state == State::Up)
    }
}

impl Dependencies {
    /// Sets the metrics.
    fn show(self) {
        let all = [
            ("gate", self.gate),
            ("log", self.log),
            ("ledger", self.ledger),
            ("clock", self.clock),
            ("settlement", self.settlement),
        ];
        for (name, state) in all {
            let up = if state == State::Up { 1.0 } else { 0.0 };
            gauge!(metric::DEPENDENCY_UP, "dependency" => name).set(up);
        }
    }
}

/// Asks the servers, and remembers their answers for a moment.
pub struct Readiness {
    gate: Arc<dyn GateProbe>,
    log: Arc<dyn AttemptLog>,
    ledger: Arc<dyn LedgerProbe>,
    clock: Arc<dyn Clock>,
    lag: Arc<SettlementLag>,
    /// Zero: however long it takes.
    lag_limit: Duration,
    /// Ready although the ledger does not answer.
    without_ledger: bool,
    last: Mutex<Option<(Instant, Dependencies)>>,
    /// What the last answers said.
    was_ready: AtomicBool,
    throttles: Throttles,
}

/// Of the log lines about each dependency.
#[derive(Default)]
struct Throttles {
    gate: LogThrottle,
    log: LogThrottle,
    ledger: LogThrottle,
    clock: LogThrottle,
    settlement: LogThrottle,
}

impl Readiness {
    #[must_use]
    pub fn new(
        gate: Arc<dyn GateProbe>,
        log: Arc<dyn AttemptLog>,
        ledger: Arc<dyn LedgerProbe>,
        clock: Arc<dyn Clock>,
        lag: Arc<SettlementLag>,
        lag_limit: Duration,
    ) -> Self {
        Self {
            gate,
            log,
            ledger,
            clock,
            lag,
            lag_limit,
            without_ledger: false,
            last: Mutex::default(),
            was_ready: AtomicBool::new(false),
            throttles: Throttles::default(),
        }
    }

    /// With `true`, ready also while the ledger does not answer: attempts are accepted then, and their orders wait.
    #[must_use]
    pub fn without_ledger(mut self, without_ledger: bool) -> Self {
        self.without_ledger = without_ledger;
        self
    }

    /// Whether the process can do its work.
    #[must_use]
    pub fn is_ready(&self, dependencies: Dependencies) -> bool {
        is_ready(dependencies, self.without_ledger)
    }

    /// The state of the servers, half a second old at most. Takes a second at most.
    pub async fn check(&self) -> Dependencies {
        // Held while asking: those who come meanwhile share the answer.
        let mut last = self.last.lock().await;
        if let Some((at, dependencies)) = *last
            && at.elapsed() < FRESH
        {
            return dependencies;
        }
        let (gate, log, ledger, clock) = tokio::join!(
            ask("gate", &self.throttles.gate, self.gate.ping()),
            ask("log", &self.throttles.log, self.log.ping()),
            ask("ledger", &self.throttles.ledger, self.ledger.ping()),
            self.compare_clocks()
        );
        let dependencies = Dependencies {
            gate,
            log,
            ledger,
            clock,
            settlement: settlement(&self.throttles.settlement, self.lag.age(), self.lag_limit),
        };
        dependencies.show();
        self.was_ready
            .store(self.is_ready(dependencies), Ordering::Relaxed);
        *last = Some((Instant::now(), dependencies));
        dependencies
    }

    /// What the last check said, a few seconds old at most while [`Readiness::watch`] runs.
    #[must_use]
    pub fn was_ready(&self) -> bool {
        self.was_ready.load(Ordering::Relaxed)
    }

    /// Checks every two seconds until stopped.
    pub async fn watch(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.check() => {}
            }
            if timeout(WATCH_INTERVAL, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }
}

impl Readiness {
    /// A gate that does not answer says nothing of this machine's clock.
    async fn compare_clocks(&self) -> State {
        let before = self.clock.now();
        let Ok(Ok(told)) = timeout(PATIENCE, self.gate.now()).await else {
            return State::Up;
        };
        clock_state(&self.throttles.clock, before, told, self.clock.now())
    }
}

/// Compares this machine's clock with a time that the gate told at some moment between `before` and `after`.
fn clock_state(
    throttle: &LogThrottle,
    before: DateTime<Utc>,
    told: DateTime<Utc>,
    after: DateTime<Utc>,
) -> State {
    let (ahead, behind) = (before - told, told - after);
    let offset = ahead.max(behind).to_std().unwrap_or_default();
    if offset <= LARGEST_OFFSET {
        return State::Up;
    }
    if throttle.allow() {
        let direction = if ahead > behind { "ahead of" } else { "behind" };
        tracing::warn!(
            "not ready: this machine's clock is {} s {direction} the stock gate's",
            offset.as_secs()
        );
    }
    State::Down
}

fn is_ready(dependencies: Dependencies, without_ledger: bool) -> bool {
    let ledger = if without_ledger {
        State::Up
    } else {
        dependencies.ledger
    };
    Dependencies {
        ledger,
        ..dependencies
    }
    .are_up()
}

fn settlement(throttle: &LogThrottle, age: Duration, limit: Duration) -> State {
    if limit.is_zero() || age <= limit {
        return State::Up;
    }
    if throttle.allow() {
        tracing::warn!(
            oldest_secs = age.as_secs(),
            "not ready: accepted attempts are not settled (SETTLEMENT_LAG_SECS)"
        );
    }
    State::Late
}

async fn ask<E: std::fmt::Display>(
    server: &str,
    throttle: &LogThrottle,
    answer: impl Future<Output = Result<(), E>>,
) -> State {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(())) => State::Up,
        Ok(Err(error)) => {
            if throttle.allow() {
                tracing::warn!(server, %error, "not ready");
            }
            State::Down
        }
        Err(_) => {
            if throttle.allow() {
                tracing::warn!(server, "not ready: no answer in time");
            }
            State::Down
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_down() {
        let throttle = LogThrottle::new();
        let silent = std::future::pending::<Result<(), String>>();
        assert_eq!(ask("silent", &throttle, silent).await, State::Down);
        let broken = async { Err("broken") };
        assert_eq!(ask("broken", &throttle, broken).await, State::Down);
        let well = async { Ok::<_, String>(()) };
        assert_eq!(ask("well", &throttle, well).await, State::Up);
    }

    #[test]
    fn ready_means_all_of_them() {
        let up = Dependencies {
            gate: State::Up,
            log: State::Up,
            ledger: State::Up,
            clock: State::Up,
            settlement: State::Up,
        };
        assert!(up.are_up());
        let without_ledger = Dependencies {
            ledger: State::Down,
            ..up
        };
        let without_gate = Dependencies {
            gate: State::Down,
            ..up
        };
        assert!(!is_ready(without_ledger, false));
        assert!(is_ready(without_ledger, true));
        assert!(!is_ready(without_gate, true));
        for (name, without) in [
            (
                "log",
                Dependencies {
                    log: State::Down,
                    ..up
                },
            ),
            (
                "clock",
                Dependencies {
                    clock: State::Down,
                    ..up
                },
            ),
            (
                "settlement",
                Dependencies {
                    settlement: State::Late,
                    ..up
                },
            ),
        ] {
            assert!(!is_ready(without, true), "{name}");
        }
        assert_eq!(
            serde_json::to_string(&up).unwrap(),
            r#"{"gate":"up","log":"up","ledger":"up","clock":"up","settlement":"up"}"#
        );
    }

    #[test]
    fn a_clock_is_down_above_three_seconds_in_either_direction() {
        let here = DateTime::UNIX_EPOCH;
        // The gate's answer took 100 ms.
        let state = |told: i64| {
            let at = |millis| here + chrono::Duration::milliseconds(millis);
            clock_state(&LogThrottle::new(), here, at(told), at(100))
        };
        for told in [-3_000, -2_000, 0, 50, 100, 3_100] {
            assert_eq!(state(told), State::Up, "told {told} ms");
        }
        for told in [-600_000, -4_000, -3_001, 3_101, 4_100, 600_000] {
            assert_eq!(state(told), State::Down, "told {told} ms");
        }
    }

    #[test]
    fn settling_is_late_above_the_limit_and_never_without_one() {
        let secs = Duration::from_secs;
        let settlement = |age, limit| settlement(&LogThrottle::new(), age, limit);
        assert_eq!(settlement(secs(30), secs(30)), State::Up);
        assert_eq!(settlement(secs(31), secs(30)), State::Late);
        assert_eq!(settlement(secs(1_000), secs(0)), State::Up);
    }
}
