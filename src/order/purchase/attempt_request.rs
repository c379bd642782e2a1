//! An attempt on its way through the two batchers, and the limits of their queues.

use std::convert::Infallible;

use tokio::{sync::mpsc, time::Instant};

use super::{Accepted, Refusal};
use crate::{
    ids::AttemptId,
    order::{batcher::Limits, reply_queue::Responder, trace::AttemptTrace},
    port::{Attempt, Holder, Standing},
};

/// The limits of attempts that wait for the gate. Further ones are answered [`Refusal::Busy`] before a unit is taken.
pub(super) const RESERVE: Limits = Limits {
    waiting: 16_384,
    batch: 256,
};
/// The limits of attempts that wait for the log, in addition to those that wait for the gate.
pub(super) const APPEND: Limits = Limits {
    waiting: 4_096,
    batch: 1_000,
};

/// An attempt on its way, and the responder to the request that waits for it.
pub(super) struct AttemptRequest {
    pub(super) attempt: Attempt,
    pub(super) since: Instant,
    pub(super) answer: Responder<Result<Accepted, Refusal>>,
    /// `None` if the request is not traced.
    pub(super) trace: Option<Box<AttemptTrace>>,
    /// A sender that all attempts of one batch share. Once the last one is dropped, all attempts of the batch are answered.
    pub(super) round: Option<mpsc::Sender<Infallible>>,
}

impl AttemptRequest {
    pub(super) fn holder(&self) -> Holder {
        Holder {
            user: self.attempt.user,
            attempt: self.attempt.id,
        }
    }

    /// The same question about another attempt of the shopper.
    pub(super) fn about(mut self, attempt: AttemptId) -> Self {
        self.attempt.id = attempt;
        self
    }

    pub(super) fn answer(self, outcome: Result<Accepted, Refusal>) {
        self.answer.send(outcome);
    }

    /// Answers that the attempt counts and awaits its settlement. Its append began at `since`.
    pub(super) fn accept(self, since: std::time::Instant) {
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
