//! Settles what the readers of one worker have read, together: one transaction for all that is waiting.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::{sync::oneshot, time::Instant};

use crate::port::{Ledger, LedgerError, SettleBatch, SettleError, Settlement};

/// Rounds begin at least so far apart while readers keep up with the log: larger ones cost every server less. Who comes alone
/// does not wait, and a round with somebody who lags behind does not either.
const PACE: Duration = Duration::from_millis(30);
/// Batches of a round have at most so many attempts altogether, unless a single one has more.
const ROUND_ATTEMPTS: usize = 4_000;

type SettleAnswer = Result<Vec<Settlement>, SettleError>;

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
    answer: oneshot::Sender<SettleAnswer>,
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
                // Whoever had the turn settled this one, too.
                answer = &mut answered => return answer.unwrap_or_else(|_| {
                    Err(LedgerError("another reader failed".to_owned()).into())
                }),
                turn = self.turn.lock() => turn,
            };
            if let Ok(answer) = answered.try_recv() {
                return answer;
            }
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
            attempts <= ROUND_ATTEMPTS
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
            // One may be in the way of the others: each by itself tells. All at once, so that a ledger that does not answer
            // is waited for once.
            Err(_) if batches.len() > 1 => {
                let alone = batches
                    .iter()
                    .zip(answers)
                    .map(|(batch, answer)| async move {
                        let settled = self.ledger.settle(std::slice::from_ref(batch)).await;
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

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{
        clock::SystemClock,
        engine::model::ModelLedger,
        ids::{AttemptId, ProductId, SaleId, UserId},
        port::{Attempt, Member, Offset, Outcome, Partition, Position, SaleListing, SaleWindow},
    };

    const SHOPPERS: i64 = 12_000;
    const PARTITIONS: i32 = 4;

    /// A ledger with a sale, shoppers, and partitions at their beginning.
    async fn settler() -> Settler {
        let ledger = ModelLedger::new(Arc::new(SystemClock));
        ledger.add_sale(SaleListing {
            switch: crate::port::SaleSwitch::On,
            id: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            product_name: "Thing".into(),
            product_description: String::new(),
            offer: crate::port::Offer::default(),
            window: SaleWindow {
                start: DateTime::UNIX_EPOCH,
                end: DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1),
            },
            initial_stock: 20_000,
            remaining_stock: 20_000,
            version: 1,
        });
        for id in 1..=SHOPPERS {
            ledger.add_shopper(UserId::new(id).unwrap());
        }
        let member = Member {
            group: "workers".into(),
            topic: "attempts".into(),
            id: "1".into(),
        };
        ledger
            .heartbeat(&member, PARTITIONS, Duration::from_mins(1))
            .await
            .unwrap();
        Settler::new(Arc::new(ledger))
    }

    /// Attempts of these shoppers, in a partition from an offset on.
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
            rejected: Vec::new(),
            reached: None,
        }
    }

    /// Settles all at once; the answers, each with how long it took.
    async fn all(
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
    async fn who_comes_alone_does_not_wait() {
        let settler = settler().await;
        for from in 0..2 {
            let alone = all(&settler, [batch(0, from, 1 + from..2 + from)], false).await;
            assert_eq!(times(&alone), [Duration::ZERO]);
            tokio::time::sleep(PACE).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_settled_in_one_round() {
        let settler = settler().await;
        all(&settler, [batch(0, 0, 1..2)], false).await;
        let together = [batch(0, 1, 2..3), batch(1, 0, 3..4), batch(2, 0, 4..6)];
        let answers = all(&settler, together, false).await;
        assert_eq!(times(&answers), [PACE; 3], "a round each would take longer");
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
    async fn who_lags_behind_does_not_wait() {
        let settler = settler().await;
        all(&settler, [batch(0, 0, 1..2)], false).await;
        let lagging = all(&settler, [batch(0, 1, 2..3), batch(1, 0, 3..4)], true).await;
        assert_eq!(times(&lagging), [Duration::ZERO; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_has_a_bound() {
        let settler = settler().await;
        // 3,000 attempts each: no two fit into a round.
        let large = [
            batch(0, 0, 1..3_001),
            batch(1, 0, 3_001..6_001),
            batch(2, 0, 6_001..9_001),
        ];
        let answers = all(&settler, large, false).await;
        assert_eq!(times(&answers), [Duration::ZERO, PACE, 2 * PACE]);
        // One alone may have more.
        let alone = batch(3, 0, 1..i64::try_from(ROUND_ATTEMPTS).unwrap() + 3);
        let answers = all(&settler, [alone], true).await;
        assert_eq!(
            answers[0].1.as_ref().unwrap().len(),
            ROUND_ATTEMPTS + 2,
            "all of it is settled"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_the_way_does_not_hold_up_the_others() {
        let settler = settler().await;
        all(&settler, [batch(0, 0, 1..2)], false).await;
        let mut fenced = batch(1, 0, 2..3);
        fenced.from = Offset(7);
        let mut stranger = batch(2, 0, 2..3);
        stranger.attempts[0].sale = SaleId::new(99).unwrap();
        let good = [batch(0, 1, 3..4), batch(3, 0, 4..5)];
        let [first, last] = good;
        let mut answers = all(&settler, [first, fenced, stranger, last], false)
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
