//! What a shopper asked and was answered, as the world remembers it.

use std::sync::Arc;

use flashsale::{
    ids::{AttemptId, UserId},
    order::{Accepted, Refusal},
    port::PurchaseResult,
};

use super::process::Process;

/// One press of "buy".
#[derive(Clone)]
pub(super) struct Press {
    pub(super) user: UserId,
    /// The id that the node gave it, if it came so far.
    pub(super) own: Option<AttemptId>,
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) answer: Answer,
    /// There was an order of theirs when they asked.
    pub(super) had_order: bool,
    /// Nobody could get a unit all the time, as an operator had been told.
    pub(super) halted: bool,
    /// The process that was asked, if one was there.
    pub(super) process: Option<Arc<Process>>,
}

/// The answer to a press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted(Accepted),
    Refused(Refusal),
    /// The token's account does not exist.
    NoAccount,
    /// Nobody was there; nothing was sent.
    NotServed,
    /// The connection broke, or the answer did not come.
    Lost,
}

/// One question for the result.
#[derive(Debug, Clone)]
pub(super) struct Poll {
    pub(super) user: UserId,
    pub(super) asked: u64,
    pub(super) result: Option<PurchaseResult>,
    /// The attempts that had been answered as accepted when it was asked.
    pub(super) accepted: Vec<AttemptId>,
}
