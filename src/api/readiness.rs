//! Whether the servers behind this process answer, and whether its clock is right. Asked at most twice a second, however many probes come.

use std::{future::Future, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    order::SettlementLag,
    port::{AttemptLog, GateProbe, LedgerProbe},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// By how much this machine's clock may be off the gate's.
const LARGEST_OFFSET: Duration = Duration::from_secs(3);
/// How long an answer is good for.
const FRESH: Duration = Duration::from_millis(500);

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

/// Asks the servers, and remembers their answers for a moment.
pub struct Readiness {
    gate: Arc<dyn GateProbe>,
    log: Arc<dyn AttemptLog>,
    ledger: Arc<dyn LedgerProbe>,
    clock: Arc<dyn Clock>,
    lag: Arc<SettlementLag>,
    /// Zero: however long it takes.
    lag_limit: Duration,
    last: Mutex<Option<(Instant, Dependencies)>>,
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
            last: Mutex::default(),
        }
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
            ask("gate", self.gate.ping()),
            ask("log", self.log.ping()),
            ask("ledger", self.ledger.ping()),
            self.compare_clocks()
        );
        let dependencies = Dependencies {
            gate,
            log,
            ledger,
            clock,
            settlement: settlement(self.lag.age(), self.lag_limit),
        };
        *last = Some((Instant::now(), dependencies));
        dependencies
    }
}

impl Readiness {
    /// A gate that does not answer says nothing of this machine's clock.
    async fn compare_clocks(&self) -> State {
        let before = self.clock.now();
        let Ok(Ok(told)) = timeout(PATIENCE, self.gate.now()).await else {
            return State::Up;
        };
        // It was told at some moment between these two.
        let (ahead, behind) = (before - told, told - self.clock.now());
        let offset = ahead.max(behind).to_std().unwrap_or_default();
        if offset <= LARGEST_OFFSET {
            return State::Up;
        }
        let direction = if ahead > behind { "ahead of" } else { "behind" };
        tracing::warn!(
            "not ready: this machine's clock is {} s {direction} the stock gate's",
            offset.as_secs()
        );
        State::Down
    }
}

fn settlement(age: Duration, limit: Duration) -> State {
    if limit.is_zero() || age <= limit {
        return State::Up;
    }
    tracing::warn!(
        oldest_secs = age.as_secs(),
        "not ready: accepted attempts are not settled (SETTLEMENT_LAG_SECS)"
    );
    State::Late
}

async fn ask<E: std::fmt::Display>(
    server: &str,
    answer: impl Future<Output = Result<(), E>>,
) -> State {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(())) => State::Up,
        Ok(Err(error)) => {
            tracing::warn!(server, %error, "not ready");
            State::Down
        }
        Err(_) => {
            tracing::warn!(server, "not ready: no answer in time");
            State::Down
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_down() {
        assert_eq!(
            ask("silent", std::future::pending::<Result<(), String>>()).await,
            State::Down
        );
        assert_eq!(ask("broken", async { Err("broken") }).await, State::Down);
        assert_eq!(ask("well", async { Ok::<_, String>(()) }).await, State::Up);
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
        assert!(
            !Dependencies {
                ledger: State::Down,
                ..up
            }
            .are_up()
        );
        assert_eq!(
            serde_json::to_string(&up).unwrap(),
            r#"{"gate":"up","log":"up","ledger":"up","clock":"up","settlement":"up"}"#
        );
    }

    #[test]
    fn settling_is_late_above_the_limit_and_never_without_one() {
        let secs = Duration::from_secs;
        assert_eq!(settlement(secs(30), secs(30)), State::Up);
        assert_eq!(settlement(secs(31), secs(30)), State::Late);
        assert_eq!(settlement(secs(1_000), secs(0)), State::Up);
    }
}
