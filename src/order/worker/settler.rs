//! Settles what the readers of one worker have read, together: one transaction for all that is waiting.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::port::{Ledger, LedgerError, SettleBatch, SettleError, Settlement};

/// Rounds begin at least so far apart while readers keep up with the log: larger ones cost every server less. Who comes alone
/// does not wait, and who lags behind does not either.
const PACE: Duration = Duration::from_millis(30);
/// Batches of a round have at most so many attempts altogether, unless a single one has more.
const ROUND: usize = 4_000;

type Answer = Result<Vec<Settlement>, SettleError>;

/// Shared by the readers of a worker. Whoever's turn it is settles for all who wait.
pub(super) struct Settler {
    ledger: Arc<dyn Ledger>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Its holder settles. When the next round may begin.
    turn: tokio::sync::Mutex<Instant>,
}

struct Waiting {
    batch: SettleBatch,
    /// There is more to read behind it.
    lags: bool,
    answer: oneshot::Sender<Answer>,
}

impl Settler {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    /// Settles a batch, in one transaction with those of other readers. `lags` if there is more to read behind it.
    pub(super) async fn settle(&self, batch: SettleBatch, lags: bool) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push_back(Waiting {
            batch,
            lags,
            answer,
        });
        loop {
            let mut turn = tokio::select! {
                biased;
                // Whoever had the turn settled this one, too.
                answer = &mut answered => return answer.unwrap_or_else(|_| {
                    Err(LedgerError("another reader failed".to_owned()).into())
                }),
                turn = self.turn.lock() => turn,
            };
            if !self.waiting().iter().any(|waiting| waiting.lags) {
                tokio::time::sleep_until(*turn).await;
            }
            *turn = Instant::now() + PACE;
            // The first in line go first, this one among them sooner or later.
            let round = self.next_round();
            self.settle_round(round).await;
        }
    }

    fn next_round(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut attempts = 0;
        let more = waiting.iter().take_while(|waiting| {
            attempts += waiting.batch.attempts.len();
            attempts <= ROUND
        });
        let batches = more.count().max(1).min(waiting.len());
        waiting.drain(..batches).collect()
    }

    async fn settle_round(&self, round: Vec<Waiting>) {
        let (batches, answers): (Vec<_>, Vec<_>) = round
            .into_iter()
            .map(|waiting| (waiting.batch, waiting.answer))
            .unzip();
        // Whoever stopped waiting does not need the answer.
        match self.ledger.settle(&batches).await {
            Ok(settlements) => {
                for (answer, settlements) in answers.into_iter().zip(settlements) {
                    let _ = answer.send(Ok(settlements));
                }
            }
            // One is in the way of the others: each by itself tells which.
            Err(SettleError::Fenced | SettleError::Unsettleable(_)) if batches.len() > 1 => {
                for (answer, batch) in answers.into_iter().zip(&batches) {
                    let settled = self.ledger.settle(std::slice::from_ref(batch)).await;
                    let _ = answer.send(settled.map(|settlements| settlements.concat()));
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
