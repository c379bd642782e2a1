//! One press of "buy": catalog, gate, log.
//!
//! An attempt goes through two batchers, one that asks the gate and one that appends to the log. They do not
//! depend on the request that brought it: a shopper who hangs up half way leaves nothing half done.

mod append;
mod attempt_request;
mod outcome;
mod reserve;
mod undo;

pub use outcome::{Accepted, Refusal};

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use self::attempt_request::AttemptRequest;
use super::{
    batcher::Batcher,
    figures::{AttemptCounts, Press},
    reply_queue::ReplyQueue,
    results::Results,
    trace::AttemptTrace,
};
use crate::{
    clock::Clock,
    ids::{AttemptId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{Attempt, AttemptLog, Reservations, SaleWindow},
    sale::{Admission, CatalogCalls, SaleCatalog},
};

/// Longest time for which a shopper waits, whatever servers and disk do. It is longer than the default timeouts of Redis and Kafka
/// together. The attempt goes on after this time.
const LONGEST_ANSWER: Duration = Duration::from_secs(12);

/// True if the accepted attempt is the one that this press made, and not an earlier one of the shopper.
struct IsNew(bool);

/// Turns presses into attempts, and answers them.
pub struct Purchase {
    clock: Arc<dyn Clock>,
    catalog: Arc<SaleCatalog>,
    calls: Arc<CatalogCalls>,
    results: Arc<Results>,
    reserve: Batcher<AttemptRequest>,
    counts: Arc<AttemptCounts>,
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

    /// One press of "buy". It waits for its turn for three seconds at most, then for gate and log up to their timeouts, and for
    /// twelve seconds in all at most.
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

    /// The counts of this node's answers to presses.
    #[must_use]
    pub fn counts(&self) -> &Arc<AttemptCounts> {
        &self.counts
    }

    /// The window of a sale and the present time, as this node knows them.
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
        // If the task dies, the process ends with it. The attempt is then found in the gate.
        let outcome = match tokio::time::timeout_at(since + LONGEST_ANSWER, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Refusal::OutcomeUnknown),
        };
        let outcome = outcome.map(|accepted| {
            let is_new = IsNew(accepted.attempt == attempt.id);
            (accepted, is_new)
        });
        self.counts.took(press(&outcome), since.elapsed());
        match outcome {
            Ok(accepted) => {
                self.catalog.note_holder(sale, user);
                Ok(accepted)
            }
            Err(Refusal::SoldOut) => {
                self.results.refused(user, product, sale);
                Err(Refusal::SoldOut)
            }
            // The sale is over, so it makes no sense to let the shopper wait until it is prepared.
            Err(Refusal::Preparing) if self.catalog.has_ended(sale) => Err(Refusal::Ended),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The answer to a press as the metrics count it.
fn press(outcome: &Result<(Accepted, IsNew), Refusal>) -> Press {
    match outcome {
        Ok((_, IsNew(true))) => Press::Accepted,
        Ok((_, IsNew(false))) => Press::AlreadyHeld,
        Err(refusal) => Press::Refused(*refusal),
    }
}
