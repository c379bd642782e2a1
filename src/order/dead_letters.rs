//! Decisions about dead letters: to replay one appends its attempt to the log again, to discard one changes nothing. Both
//! decisions are stored in the ledger.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    clock::Clock,
    ids::AttemptId,
    port::{
        AppendError, Attempt, AttemptLog, DeadLetterAction, DeadLetterDecision,
        DeadLetterDecisions, DeadLetterEntry, DeadLetterId, LedgerError, LogEntry, LogError,
        Offset, Outcome, Partition, Settling,
    },
};

/// UUID namespace of the ids under which rejected attempts are replayed. It was chosen at random and must never change.
const REPLAYS: Uuid = Uuid::from_u128(0x1d6a_94c2_7be8_4f3c_8a57_30c9_e2b4_6f15);

/// The dead letters of a log, and the ledger that stores the decisions about them.
pub struct DeadLetters {
    pub log: Arc<dyn AttemptLog>,
    pub decisions: Arc<dyn DeadLetterDecisions>,
    /// Says which attempts are settled.
    pub settled: Arc<dyn Settling>,
    pub clock: Arc<dyn Clock>,
}

/// Dead letters that are looked at for one page, however few of them are open.
const LOOKED_AT: usize = 10_000;

/// A part of the dead letters.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterList {
    pub items: Vec<(DeadLetterEntry, Option<DeadLetterDecision>)>,
    /// The last one that was looked at, if there may be more.
    pub next: Option<DeadLetterId>,
}

/// Who decides, and why.
#[derive(Debug, Clone)]
pub struct Decider {
    pub by: String,
    pub reason: Option<String>,
}

/// The outcome of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The attempt is in the log under this id, and a worker will settle it.
    Appended(AttemptId),
    /// An earlier replay under this id is settled already.
    Settled(AttemptId, Outcome),
}

/// Why a dead letter was neither replayed nor discarded.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    #[error("there is no such dead letter")]
    Missing,
    #[error("the record was too large to keep whole: {0} bytes are missing")]
    Omitted(u64),
    #[error("its record cannot be understood: {0}")]
    Undecodable(String),
    #[error("its attempt {0} is settled: {1:?}")]
    Settled(AttemptId, Outcome),
    #[error(
        "its attempt was replayed as {0} and rejected again; that one has a dead letter of its own"
    )]
    RejectedAgain(AttemptId),
    #[error("its attempt may or may not be in the log now ({0}); replay it again, it counts once")]
    Unknown(String),
    #[error("{0}")]
    NotWritten(String),
    #[error("it was discarded before")]
    Discarded,
    #[error("its attempt was replayed before, as {0}")]
    Replayed(AttemptId),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The id under which a rejected attempt is replayed. It differs from the attempt's own id, because the outcome of an attempt
/// never changes. It is the same for every replay, so that all replays count as one attempt.
#[must_use]
pub fn replay_id(attempt: AttemptId) -> AttemptId {
    AttemptId(Uuid::new_v5(&REPLAYS, attempt.0.as_bytes()))
}

impl DeadLetters {
    /// The dead letter with this id.
    pub async fn find(&self, id: DeadLetterId) -> Result<DeadLetterEntry, Undecided> {
        if id.partition.0 >= self.log.dead_letter_partitions() {
            return Err(Undecided::Missing);
        }
        let page = self.log.read_dead_letters(id.partition, id.offset).await?;
        let found = page.entries.into_iter().next();
        found
            .filter(|found| found.id == id)
            .ok_or(Undecided::Missing)
    }

    /// Dead letters behind `after`, partition by partition, each with what was decided last; with `only_open`, those about which
    /// nothing is decided. At most `limit`, and where to read on, unless that is the end.
    pub async fn page(
        &self,
        after: Option<DeadLetterId>,
        only_open: bool,
        limit: usize,
    ) -> Result<DeadLetterList, Undecided> {
        let decisions = self.decisions.decisions(self.log.name()).await?;
        let first = after.map_or(0, |after| after.partition.0);
        let mut list = DeadLetterList::default();
        let mut looked_at = 0;
        for partition in (first..self.log.dead_letter_partitions()).map(Partition) {
            let mut next = match after {
                Some(after) if after.partition == partition => Offset(after.offset.0 + 1),
                _ => Offset(0),
            };
            loop {
                let page = self.log.read_dead_letters(partition, next).await?;
                for found in page.entries {
                    if list.items.len() >= limit || looked_at >= LOOKED_AT {
                        return Ok(list);
                    }
                    looked_at += 1;
                    list.next = Some(found.id);
                    let decided = decisions.iter().rfind(|decision| decision.is_about(&found));
                    if decided.is_none() || !only_open {
                        list.items.push((found, decided.cloned()));
                    }
                }
                if page.next >= page.end || page.next <= next {
                    break;
                }
                next = page.next;
            }
        }
        list.next = None;
        Ok(list)
    }

    /// What was decided about a letter, the oldest first.
    pub async fn decisions_about(
        &self,
        found: &DeadLetterEntry,
    ) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        let mut decisions = self.decisions.decisions(self.log.name()).await?;
        decisions.retain(|decision| decision.is_about(found));
        Ok(decisions)
    }

    /// Appends a letter's attempt to the log again: under its own id if the attempt has no outcome, or under a derived id if it
    /// was rejected. The decision is stored after the append. If the process ends in between, the replay can be repeated safely.
    pub async fn replay(
        &self,
        found: &DeadLetterEntry,
        decider: &Decider,
    ) -> Result<Replay, Undecided> {
        if let Some(bytes) = found.omitted_bytes {
            return Err(Undecided::Omitted(bytes));
        }
        let attempt = match &found.entry {
            LogEntry::Attempt(attempt) => *attempt,
            LogEntry::Undecodable(cause) => return Err(Undecided::Undecodable(cause.clone())),
            LogEntry::OtherLedger(ledger) => {
                return Err(Undecided::Undecodable(format!(
                    "it is of another ledger, {ledger}"
                )));
            }
        };
        let again = Attempt {
            id: replay_id(attempt.id),
            ..attempt
        };
        let outcomes = self.settled.outcomes(&[attempt.id, again.id]).await?;
        let replay = match (outcomes.get(&attempt.id), outcomes.get(&again.id)) {
            (None, _) => self.append(attempt).await?,
            (Some(Outcome::Rejected), None) => self.append(again).await?,
            (Some(Outcome::Rejected), Some(Outcome::Rejected)) => {
                return Err(Undecided::RejectedAgain(again.id));
            }
            (Some(Outcome::Rejected), Some(outcome)) => Replay::Settled(again.id, *outcome),
            (Some(outcome), _) => return Err(Undecided::Settled(attempt.id, *outcome)),
        };
        let (Replay::Appended(id) | Replay::Settled(id, _)) = replay;
        self.note(found, decider, DeadLetterAction::Replayed { attempt: id })
            .await?;
        Ok(replay)
    }

    /// Stores the decision that a letter will not be replayed.
    pub async fn discard(
        &self,
        found: &DeadLetterEntry,
        decider: &Decider,
    ) -> Result<(), Undecided> {
        let before = self.decisions_about(found).await?;
        match before.last().map(|decision| decision.action) {
            Some(DeadLetterAction::Discarded) => Err(Undecided::Discarded),
            Some(DeadLetterAction::Replayed { attempt }) => Err(Undecided::Replayed(attempt)),
            None => Ok(self
                .note(found, decider, DeadLetterAction::Discarded)
                .await?),
        }
    }

    async fn append(&self, attempt: Attempt) -> Result<Replay, Undecided> {
        match self.log.append(&[attempt]).await.pop() {
            Some(Ok(())) => Ok(Replay::Appended(attempt.id)),
            Some(Err(AppendError::NotWritten(cause))) => Err(Undecided::NotWritten(cause)),
            Some(Err(AppendError::Unknown(cause))) => Err(Undecided::Unknown(cause)),
            None => Err(Undecided::Unknown("no answer".to_owned())),
        }
    }

    async fn note(
        &self,
        found: &DeadLetterEntry,
        decider: &Decider,
        action: DeadLetterAction,
    ) -> Result<(), LedgerError> {
        let decision = DeadLetterDecision {
            letter: found.id,
            buried_at: found.letter.buried_at,
            action,
            reason: decider.reason.clone(),
            by: decider.by.clone(),
            at: self.clock.now(),
        };
        self.decisions
            .note_decision(self.log.name(), &decision)
            .await
    }
}
