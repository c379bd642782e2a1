//! Whether the servers behind this process answer. Asked at most twice a second, however many probes come.

use std::{future::Future, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use utoipa::ToSchema;

use crate::{
    order::SettlementLag,
    port::{AttemptLog, Ledger, StockGate},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
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
    /// Accepted attempts become orders: `late` when one has been waiting for more than `SETTLEMENT_LAG_SECS`.
    pub settlement: State,
}

impl Dependencies {
    /// Whether all of them answer.
    #[must_use]
    pub fn are_up(self) -> bool {
        [self.gate, self.log, self.ledger, self.settlement]
            .iter()
            .all(|state| *state == State::Up)
    }
}

/// Asks the servers, and remembers their answers for a moment.
pub struct Readiness {
    gate: Arc<dyn StockGate>,
    log: Arc<dyn AttemptLog>,
    ledger: Arc<dyn Ledger>,
    lag: Arc<SettlementLag>,
    /// Zero: however long it takes.
    lag_limit: Duration,
    last: Mutex<Option<(Instant, Dependencies)>>,
}

impl Readiness {
    #[must_use]
    pub fn new(
        gate: Arc<dyn StockGate>,
        log: Arc<dyn AttemptLog>,
        ledger: Arc<dyn Ledger>,
        lag: Arc<SettlementLag>,
        lag_limit: Duration,
    ) -> Self {
        Self {
            gate,
            log,
            ledger,
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
        let (gate, log, ledger) = tokio::join!(
            ask("gate", self.gate.ping()),
            ask("log", self.log.ping()),
            ask("ledger", self.ledger.ping())
        );
        let dependencies = Dependencies {
            gate,
            log,
            ledger,
            settlement: settlement(self.lag.age(), self.lag_limit),
        };
        *last = Some((Instant::now(), dependencies));
        dependencies
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
            r#"{"gate":"up","log":"up","ledger":"up","settlement":"up"}"#
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
