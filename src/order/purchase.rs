//! One press of "buy": catalog, gate, log.
//!
//! An attempt goes through two batchers, one that asks the gate and one that appends to the log. They do not
//! depend on the request that brought it: a shopper who hangs up half way leaves nothing half done.

mod append;
mod reserve;
mod undo;

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::mpsc, time::Instant};

use super::{
    batcher::{Batcher, Limits},
    figures::{AttemptCounts, Press},
    reply_queue::{ReplyQueue, Responder},
    results::Results,
    trace::AttemptTrace,
};
use crate::{
    clock::Clock,
    ids::{AttemptId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{Attempt, AttemptLog, Holder, Reservations, SaleWindow, Standing},
    sale::{Admission, CatalogCalls, SaleCatalog},
};

/// Attempts that may wait for the gate; more are answered [`Refusal::Busy`] before a unit is taken.
const RESERVE: Limits = Limits {
    waiting: 16_384,
    batch: 256,
};
/// Attempts that may wait for the log, on top of those that wait for the gate.
const APPEND: Limits = Limits {
    waiting: 4_096,
    batch: 1_000,
};

/// How long a shopper waits at most, whatever servers and disk do: above the default timeouts of Redis and Kafka together.
/// The attempt goes on behind it.
const LONGEST_ANSWER: Duration = Duration::from_secs(12);

/// The attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub attempt: AttemptId,
    pub standing: Standing,
}

/// Whether an accepted attempt is this one, and not an earlier one of the shopper.
struct IsNew(bool);

/// Why an attempt does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such sale")]
    UnknownSale,
    #[error("the sale has not started")]
    NotStarted,
    #[error("the sale has ended")]
    Ended,
    #[error("the item is out of stock")]
    SoldOut,
    #[error("the sale is paused")]
    Paused,
    /// The gate is being loaded.
    #[error("the sale is being prepared")]
    Preparing,
    /// Too many attempts are waiting in this node; nothing was taken.
    #[error("too many attempts are waiting")]
    Busy,
    /// Gate or log cannot be reached; nothing was taken, or it was given back.
    #[error("a server cannot be reached")]
    Unavailable,
    /// The gate did not answer: whether a unit is held is unknown. Asking again finds out.
    #[error("whether the attempt counts is unknown")]
    OutcomeUnknown,
}

/// Takes attempts.
pub struct Purchase {
    clock: Arc<dyn Clock>,
    catalog: Arc<SaleCatalog>,
    calls: Arc<CatalogCalls>,
    results: Arc<Results>,
    reserve: Batcher<AttemptRequest>,
    counts: Arc<AttemptCounts>,
}

/// An attempt on its way, and who waits for the answer.
struct AttemptRequest {
    attempt: Attempt,
    since: Instant,
    answer: Responder<Result<Accepted, Refusal>>,
    trace: Option<Box<AttemptTrace>>,
    /// Of the batch that it is part of: the last one gone means that all of that are answered.
    round: Option<mpsc::Sender<Infallible>>,
}

impl Purchase {
    /// Starts the tasks that attempts go through.
    pub fn start(
        lifecycle: &Lifecycle,
        gate: Arc<dyn Reservations>,
        log: Arc<dyn AttemptLog>,
        catalog: Arc<SaleCatalog>,
        calls: Arc<CatalogCalls>,
        results: Arc<Results>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let undo = undo::spawn(lifecycle, Arc::clone(&gate));
        let append = append::spawn(lifecycle, log, Arc::clone(&gate), undo.clone());
        let reserve = reserve::spawn(lifecycle, gate, append, undo);
        Self {
            clock,
            catalog,
            calls,
            results,
            reserve,
            counts: Arc::default(),
        }
    }

    /// One press of "buy". Waits for its turn for three seconds at most, then for gate and log as long as their timeouts,
    /// and for twelve seconds altogether.
    pub async fn attempt(
        &self,
        replies: &ReplyQueue,
        user: UserId,
        sale: SaleId,
    ) -> Result<Accepted, Refusal> {
        let decided = self.decide(replies, user, sale).await;
        self.counts.count(press(&decided));
        decided.map(|(accepted, _)| accepted)
    }

    /// What the attempts of this node were answered.
    #[must_use]
    pub fn counts(&self) -> &Arc<AttemptCounts> {
        &self.counts
    }

    /// When a sale takes attempts, and what the time is, as this node knows them.
    #[must_use]
    pub fn times_of(&self, sale: SaleId) -> Option<(SaleWindow, DateTime<Utc>)> {
        let window = self.catalog.window_of(sale)?;
        Some((window, self.catalog.now()))
    }

    async fn decide(
        &self,
        replies: &ReplyQueue,
        user: UserId,
        sale: SaleId,
    ) -> Result<(Accepted, IsNew), Refusal> {
        let mut admission = self.catalog.admit(sale, user);
        if admission == Admission::UnknownSale {
            // It may have been made a moment ago.
            if !self.calls.read_again().await {
                return Err(Refusal::Unavailable);
            }
            admission = self.catalog.admit(sale, user);
        }
        let product = match admission {
            Admission::AskGate { product } => product,
            Admission::UnknownSale => return Err(Refusal::UnknownSale),
            Admission::NotStarted => return Err(Refusal::NotStarted),
            Admission::Ended => return Err(Refusal::Ended),
            Admission::SoldOut { product } => {
                self.results.refused(user, product, sale);
                return Err(Refusal::SoldOut);
            }
        };
        let attempt = Attempt {
            id: AttemptId(self.clock.new_id()),
            sale,
            product,
            user,
            at: self.catalog.moment_in(sale),
        };
        let (answer, answered) = replies.slot();
        let since = Instant::now();
        self.reserve
            .try_submit(AttemptRequest {
                attempt,
                since,
                answer,
                trace: AttemptTrace::of_request(),
                round: None,
            })
            .map_err(|_| Refusal::Busy)?;
        // A task that dies takes the process with it; the attempt is found in the gate.
        let outcome = match tokio::time::timeout(LONGEST_ANSWER, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Refusal::OutcomeUnknown),
        };
        let outcome = outcome.map(|accepted| {
            let is_new = IsNew(accepted.attempt == attempt.id);
            (accepted, is_new)
        });
        self.counts.took(press(&outcome), since.elapsed());
        match outcome {
            Ok(accepted) => Ok(accepted),
            Err(Refusal::SoldOut) => {
                self.results.refused(user, product, sale);
                Err(Refusal::SoldOut)
            }
            // Nobody waits for a sale to be prepared that is over.
            Err(Refusal::Preparing) if self.catalog.has_ended(sale) => Err(Refusal::Ended),
            Err(refusal) => Err(refusal),
        }
    }
}

/// How the metrics name an outcome.
fn press(outcome: &Result<(Accepted, IsNew), Refusal>) -> Press {
    match outcome {
        Ok((_, IsNew(true))) => Press::Accepted,
        Ok((_, IsNew(false))) => Press::AlreadyHeld,
        Err(refusal) => Press::Refused(*refusal),
    }
}

impl AttemptRequest {
    fn holder(&self) -> Holder {
        Holder {
            user: self.attempt.user,
            attempt: self.attempt.id,
        }
    }

    /// The same question about another attempt of the shopper.
    fn about(mut self, attempt: AttemptId) -> Self {
        self.attempt.id = attempt;
        self
    }

    fn answer(self, outcome: Result<Accepted, Refusal>) {
        self.answer.send(outcome);
    }

    /// Answers that the attempt counts and awaits its settlement. Its append began at `since`.
    fn accept(self, since: std::time::Instant) {
        let accepted = Accepted {
            attempt: self.attempt.id,
            standing: Standing::Pending,
        };
        if let Some(trace) = &self.trace {
            trace.accepted(&accepted, since);
        }
        self.answer(Ok(accepted));
    }
}
