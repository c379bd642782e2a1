//! Settles the batches of all readers of one worker together: all batches that wait are settled in one transaction.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use metrics::histogram;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    port::{LedgerError, SettleBatch, SettleError, Settlement, Settling, zip_answers},
    telemetry::{CallDurations, metric},
};

/// Minimum interval between the starts of two rounds. It makes rounds larger, which costs every server less. It is not applied
/// while a batch waits behind which the log has more records.
const ROUND_INTERVAL: Duration = Duration::from_millis(30);
/// Maximum number of attempts in one round. A batch with more attempts is a round of its own.
const ROUND_ATTEMPTS: usize = 4_000;

type SettleAnswer = Result<Vec<Settlement>, SettleError>;

/// Shared by the readers of a worker. The reader that holds `turn` settles the batches of all that wait.
pub(super) struct Settler {
    ledger: Arc<dyn Settling>,
    durations: CallDurations,
    waiting: Mutex<VecDeque<Waiting>>,
    /// The reader that holds this lock settles the next round. The value is the earliest start of that round.
    turn: tokio::sync::Mutex<Instant>,
}

struct Waiting {
    batch: SettleBatch,
    /// The log has more records behind this batch.
    lags: bool,
    answer: oneshot::Sender<SettleAnswer>,
}

impl Settler {
    pub(super) fn new(ledger: Arc<dyn Settling>) -> Self {
        Self {
            ledger,
            durations: CallDurations::of_settling(),
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    /// Settles a batch, in one transaction with waiting batches of other readers. `lags`: the log has more records behind it.
    pub(super) async fn settle(&self, batch: SettleBatch, lags: bool) -> SettleAnswer {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push_back(Waiting {
            batch,
            lags,
            answer,
        });
        loop {
            let mut turn = tokio::select! {
                biased;
                // The round of another reader included this batch. Its sender is dropped without an answer only if that reader's
                // task ended during the round.
                answer = &mut answered => return answer.unwrap_or_else(|_| {
                    Err(LedgerError("another reader failed".to_owned()).into())
                }),
                turn = self.turn.lock() => turn,
            };
            // Another reader may have sent the answer and released `turn` after `select!` polled `answered`. Without this second
            // look, this reader would wait for and run a round that its batch is not part of.
            if let Ok(answer) = answered.try_recv() {
                return answer;
            }
            if !self.waiting().iter().any(|waiting| waiting.lags) {
                tokio::time::sleep_until(*turn).await;
            }
            *turn = Instant::now() + ROUND_INTERVAL;
            // A round takes the batches that came first. If this batch is not among them, the loop runs another round.
            let round = self.next_round();
            self.settle_round(round).await;
        }
    }

    fn next_round(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut attempts = 0;
        let fitting = waiting.iter().take_while(|waiting| {
            attempts += waiting.batch.attempts.len();
            attempts <= ROUND_ATTEMPTS
        });
        // At least one batch, if any waits: a batch may have more attempts than a round.
        let batches = fitting.count().max(1).min(waiting.len());
        waiting.drain(..batches).collect()
    }

    async fn settle_round(&self, round: Vec<Waiting>) {
        let (batches, answers): (Vec<_>, Vec<_>) = round
            .into_iter()
            .map(|waiting| (waiting.batch, waiting.answer))
            .unzip();
        // `send` fails if the reader of the batch has stopped waiting. Nobody needs the answer then.
        match self.settle_at_once(&batches).await {
            Ok(settlements) => {
                for (answer, settlements) in zip_answers(answers, settlements) {
                    let _ = answer.send(Ok(settlements));
                }
            }
            // A single batch may be the cause, so that each batch is settled again in a transaction of its own. These transactions
            // run concurrently: a ledger that does not answer then costs one timeout, not one for each batch.
            Err(_) if batches.len() > 1 => {
                let alone = batches
                    .iter()
                    .zip(answers)
                    .map(|(batch, answer)| async move {
                        let settled = self.settle_at_once(std::slice::from_ref(batch)).await;
                        let _ = answer.send(settled.map(|settlements| settlements.concat()));
                    });
                join_all(alone).await;
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Settles all these batches in one transaction, whose size and duration are measured.
    async fn settle_at_once(
        &self,
        batches: &[SettleBatch],
    ) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let attempts: usize = batches.iter().map(|batch| batch.attempts.len()).sum();
        #[allow(clippy::cast_precision_loss)] // thousands
        histogram!(metric::SETTLE_BATCH).record(attempts as f64);
        self.durations.measure(self.ledger.settle(batches)).await
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use chrono::DateTime;

    use super::*;
    use crate::{
        ids::{AttemptId, ProductId, SaleId, UserId},
        port::{Attempt, Offset, Outcome, Partition, Position, Rejection},
    };

    /// A batch that begins at this offset is fenced out.
    const FENCED: Offset = Offset(7);
    /// A sale that the ledger does not know.
    const UNKNOWN_SALE: i64 = 99;

    /// A ledger that settles every attempt as an order. A call is a transaction: it fails for all batches if one of them is fenced
    /// out or has an attempt of an unknown sale.
    struct OrdersForAll;

    #[async_trait]
    impl Settling for OrdersForAll {
        async fn settle(
            &self,
            batches: &[SettleBatch],
        ) -> Result<Vec<Vec<Settlement>>, SettleError> {
            if batches.iter().any(|batch| batch.from == FENCED) {
                return Err(SettleError::Fenced);
            }
            let attempts = batches.iter().flat_map(|batch| &batch.attempts);
            let rejected: Vec<_> = attempts
                .filter(|attempt| attempt.sale.value() == UNKNOWN_SALE)
                .map(|attempt| Rejection {
                    attempt: attempt.id,
                    cause: "there is no such sale".to_owned(),
                })
                .collect();
            if !rejected.is_empty() {
                return Err(SettleError::Unsettleable(rejected));
            }
            let settled = |batch: &SettleBatch| {
                let ordered = batch.attempts.iter().map(|attempt| Settlement {
                    attempt: *attempt,
                    outcome: Outcome::Ordered,
                });
                ordered.collect()
            };
            Ok(batches.iter().map(settled).collect())
        }

        async fn outcomes(
            &self,
            _: &[AttemptId],
        ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
            Ok(BTreeMap::new())
        }

        async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
            Ok(())
        }
    }

    fn settler() -> Settler {
        Settler::new(Arc::new(OrdersForAll))
    }

    /// One attempt for each of these shoppers, at consecutive offsets of a partition that begin with `from`.
    fn batch(partition: i32, from: i64, shoppers: std::ops::Range<i64>) -> SettleBatch {
        let attempts: Vec<_> = shoppers
            .map(|user| Attempt {
                id: AttemptId::generate(),
                sale: SaleId::new(1).unwrap(),
                product: ProductId::new(1).unwrap(),
                user: UserId::new(user).unwrap(),
                at: DateTime::UNIX_EPOCH,
            })
            .collect();
        SettleBatch {
            position: Position {
                group: "workers".into(),
                topic: "attempts".into(),
                partition: Partition(partition),
            },
            from: Offset(from),
            to: Offset(from + i64::try_from(attempts.len()).unwrap()),
            last: attempts.last().map(|attempt| attempt.id),
            attempts,
            offsets: Vec::new(),
            rejected: Vec::new(),
            reached: None,
        }
    }

    /// Settles all batches concurrently. Returns each answer with the time that it took.
    async fn settle_all(
        settler: &Settler,
        batches: impl IntoIterator<Item = SettleBatch>,
        lags: bool,
    ) -> Vec<(Duration, SettleAnswer)> {
        let started = Instant::now();
        join_all(batches.into_iter().map(|batch| async move {
            let answer = settler.settle(batch, lags).await;
            (started.elapsed(), answer)
        }))
        .await
    }

    fn times(answers: &[(Duration, SettleAnswer)]) -> Vec<Duration> {
        answers.iter().map(|(time, _)| *time).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_batch_does_not_wait() {
        let settler = settler();
        for from in 0..2 {
            let alone = settle_all(&settler, [batch(0, from, 1 + from..2 + from)], false).await;
            assert_eq!(times(&alone), [Duration::ZERO]);
            tokio::time::sleep(ROUND_INTERVAL).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_batches_are_settled_in_one_round() {
        let settler = settler();
        settle_all(&settler, [batch(0, 0, 1..2)], false).await;
        let together = [batch(0, 1, 2..3), batch(1, 0, 3..4), batch(2, 0, 4..6)];
        let answers = settle_all(&settler, together, false).await;
        assert_eq!(
            times(&answers),
            [ROUND_INTERVAL; 3],
            "a round each would take longer"
        );
        // The shoppers of the orders, for each batch.
        let settled: Vec<_> = answers
            .into_iter()
            .map(|(_, answer)| {
                let users = answer.unwrap().into_iter();
                users
                    .map(|settled| settled.attempt.user.value())
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(settled, [vec![2], vec![3], vec![4, 5]]);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_of_lagging_readers_do_not_wait() {
        let settler = settler();
        settle_all(&settler, [batch(0, 0, 1..2)], false).await;
        let lagging = settle_all(&settler, [batch(0, 1, 2..3), batch(1, 0, 3..4)], true).await;
        assert_eq!(times(&lagging), [Duration::ZERO; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_has_a_maximum_size() {
        let settler = settler();
        // 3,000 attempts each: no two fit into a round.
        let large = [
            batch(0, 0, 1..3_001),
            batch(1, 0, 3_001..6_001),
            batch(2, 0, 6_001..9_001),
        ];
        let answers = settle_all(&settler, large, false).await;
        assert_eq!(
            times(&answers),
            [Duration::ZERO, ROUND_INTERVAL, 2 * ROUND_INTERVAL]
        );
        // A single batch may have more.
        let alone = batch(3, 0, 1..i64::try_from(ROUND_ATTEMPTS).unwrap() + 3);
        let answers = settle_all(&settler, [alone], true).await;
        assert_eq!(
            answers[0].1.as_ref().unwrap().len(),
            ROUND_ATTEMPTS + 2,
            "all of it is settled"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_fails_does_not_hold_up_the_others() {
        let settler = settler();
        settle_all(&settler, [batch(0, 0, 1..2)], false).await;
        let mut fenced = batch(1, 0, 2..3);
        fenced.from = FENCED;
        let mut stranger = batch(2, 0, 2..3);
        stranger.attempts[0].sale = SaleId::new(UNKNOWN_SALE).unwrap();
        let good = [batch(0, 1, 3..4), batch(3, 0, 4..5)];
        let [first, last] = good;
        let mut answers = settle_all(&settler, [first, fenced, stranger, last], false)
            .await
            .into_iter()
            .map(|(_, answer)| answer);
        let mut next = || answers.next().unwrap();
        assert_eq!(next().unwrap()[0].outcome, Outcome::Ordered);
        assert!(matches!(next(), Err(SettleError::Fenced)));
        assert!(matches!(next(), Err(SettleError::Unsettleable(found)) if found.len() == 1));
        assert_eq!(next().unwrap()[0].outcome, Outcome::Ordered);
    }
}
