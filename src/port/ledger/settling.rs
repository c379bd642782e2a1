//! Turning logged attempts into orders and outcomes.

use async_trait::async_trait;
use std::collections::BTreeMap;

use crate::{
    ids::{AttemptId, UserId},
    port::{Attempt, LedgerError, Offset, Outcome, Position, Settlement},
};

/// An attempt that the ledger cannot settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub attempt: AttemptId,
    pub cause: String,
}

/// Records of one partition, to be settled.
#[derive(Debug, Clone)]
pub struct SettleBatch {
    pub position: Position,
    /// Where the worker believes the partition stands.
    pub from: Offset,
    /// Where it stands afterwards.
    pub to: Offset,
    /// The attempt of the record right before `to`, if it has one: becomes [`Lease::last`](super::Lease::last).
    pub last: Option<AttemptId>,
    /// In the log's order; the same attempt may come more than once.
    pub attempts: Vec<Attempt>,
    /// Where the record of each of them is, in the same order; empty where that is not known.
    pub offsets: Vec<Offset>,
    /// Those among them that are dead letters already.
    pub rejected: Vec<Rejection>,
    /// The highest account among the records that carry this ledger's id. If one of the attempts has no account, the ledger
    /// was set back: ids of new accounts continue above this one. A ledger that has its log in the same file goes back with it,
    /// and need not.
    pub reached: Option<UserId>,
}

/// Why nothing was settled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettleError {
    /// A partition does not stand where the worker believed: another worker has it.
    #[error("fenced out: the partition is not at the expected offset")]
    Fenced,
    /// These attempts cannot be settled. Write them to the dead letters, then settle their batch with them among `rejected`.
    #[error("{} attempts cannot be settled", .0.len())]
    Unsettleable(Vec<Rejection>),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Settles attempts, and tells what became of them.
#[async_trait]
pub trait Settling: Send + Sync {
    /// Settles batches of one group and log, each of another partition, in ONE transaction, all of them or none: moves each partition from `from`
    /// to `to` if it stands at `from` (compare and set), takes units, inserts orders, records the outcome of every attempt.
    /// For each batch one settlement for each of its attempts, in order; attempts settled before answer as they did then, or
    /// [`Outcome::Released`] if their order has ended.
    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError>;

    /// The outcomes of those of these attempts that are settled.
    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError>;

    /// Forgets when the sales were open, so that every time of an attempt is taken: the ledger was set back, and may have lost
    /// that a sale was made longer. Changes no terms. What is forgotten stays so.
    async fn forget_admission_windows(&self) -> Result<(), LedgerError>;
}
