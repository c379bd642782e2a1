//! Looks up accounts that a node does not know in the ledger: many with one query, one query at a time, and each account once for
//! all requests that ask for it at the same time. The answers are kept for a short time.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::AccountRefusal;
use crate::{
    ids::UserId,
    port::{AccountDirectory, SessionRule},
};

/// Highest number of lookups that may wait. Further ones are refused as unavailable, without asking the ledger.
const WAITING: usize = 16_384;
/// Highest number of accounts in one query.
const AT_ONCE: usize = 1_000;
/// Minimum time between the beginnings of two queries: 50 queries a second at most, however many unknown accounts are asked for.
const PACE: Duration = Duration::from_millis(20);
/// Longest time for which a lookup may wait for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time for which an account counts as missing after a lookup did not find it.
const MISSING_FOR: Duration = Duration::from_secs(1);
/// Time for which an account that was found is kept here. If it is removed, it is forgotten earlier.
const FOUND_FOR: Duration = Duration::from_mins(1);
/// Highest number of answers that are kept. When there would be more, all are forgotten.
const KEPT: usize = 65_536;

/// An account that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// In seconds since 1970.
    pub(super) made_at: i64,
    pub(super) sessions: SessionRule,
}

/// `None` if there is no such account.
pub(super) type Found = Option<Known>;

type LookupAnswer = Result<Found, AccountRefusal>;

pub(super) struct LookupRequest {
    id: UserId,
    answer: oneshot::Sender<LookupAnswer>,
}

/// The queue of lookups, and the latest answers.
pub(super) struct Lookups {
    queue: mpsc::Sender<LookupRequest>,
    kept: Mutex<HashMap<UserId, (Found, Instant)>>,
}

impl Lookups {
    pub(super) fn new() -> (Self, mpsc::Receiver<LookupRequest>) {
        let (queue, asked) = mpsc::channel(WAITING);
        let kept = Mutex::default();
        (Self { queue, kept }, asked)
    }

    /// Forgets all answers.
    pub(super) fn forget(&self) {
        self.kept().clear();
    }

    fn answered(&self, id: UserId) -> Option<Found> {
        let kept = self.kept();
        let (found, until) = kept.get(&id)?;
        (Instant::now() < *until).then_some(*found)
    }

    /// Keeps answers, unless an account was removed after the ledger was asked: an answer from before a removal may be wrong.
    /// `is_current` is called under the lock that [`Lookups::forget`] takes after a removal is noted. So either `is_current` sees
    /// the removal, or `forget` removes the answers that are kept here.
    fn keep(&self, answers: &HashMap<UserId, Found>, is_current: impl FnOnce() -> bool) {
        let now = Instant::now();
        let mut kept = self.kept();
        if !is_current() {
            return;
        }
        if kept.len() + answers.len() > KEPT {
            kept.clear();
        }
        kept.extend(answers.iter().map(|(id, found)| {
            let period = if found.is_some() {
                FOUND_FOR
            } else {
                MISSING_FOR
            };
            (*id, (*found, now + period))
        }));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<UserId, (Found, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks an account up in the ledger, or returns an answer that is still kept.
    pub(super) async fn look_up(&self, id: UserId) -> LookupAnswer {
        if let Some(found) = self.answered(id) {
            return Ok(found);
        }
        let unavailable = |cause: &str| AccountRefusal::Unavailable(cause.to_owned());
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(LookupRequest { id, answer })
            .map_err(|_| unavailable("too many accounts are to be looked up"))?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(unavailable("no answer in time")),
        }
    }

    /// Answers lookups until `stop` is cancelled. `removals` counts the removals of accounts that this node knows.
    pub(super) async fn answer(
        &self,
        ledger: &dyn AccountDirectory,
        removals: &AtomicU64,
        mut asked: mpsc::Receiver<LookupRequest>,
        stop: CancellationToken,
    ) {
        loop {
            let began = Instant::now();
            let mut batch = Vec::new();
            tokio::select! {
                biased; // a chance less for a simulated history
                () = stop.cancelled() => return,
                _ = asked.recv_many(&mut batch, AT_ONCE) => {}
            }
            self.answer_batch(ledger, removals, batch).await;
            tokio::time::sleep_until(began + PACE).await;
        }
    }

    async fn answer_batch(
        &self,
        ledger: &dyn AccountDirectory,
        removals: &AtomicU64,
        mut batch: Vec<LookupRequest>,
    ) {
        batch.retain(|asked| !asked.answer.is_closed());
        let mut ids: Vec<_> = batch.iter().map(|asked| asked.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return;
        }
        let removals_before = removals.load(Ordering::Acquire);
        let looked = ledger.find_accounts(&ids).await;
        let found = match looked {
            Ok(found) => found,
            Err(error) => {
                for asked in batch {
                    let refusal = AccountRefusal::Unavailable(error.to_string());
                    let _ = asked.answer.send(Err(refusal));
                }
                return;
            }
        };
        let mut answers: HashMap<UserId, Found> = ids.into_iter().map(|id| (id, None)).collect();
        answers.extend(found.into_iter().map(|account| {
            let known = Known {
                made_at: account.made_at.timestamp(),
                sessions: account.sessions,
            };
            (account.id, Some(known))
        }));
        let is_current = || removals.load(Ordering::Acquire) == removals_before;
        self.keep(&answers, is_current);
        for asked in batch {
            let answer = answers.get(&asked.id).copied().flatten();
            let _ = asked.answer.send(Ok(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_before_a_removal_is_not_kept_after_it() {
        let (lookups, _asked) = Lookups::new();
        let id = UserId::new(7).unwrap();
        let known = Known {
            made_at: 1,
            sessions: SessionRule::default(),
        };
        let answers = HashMap::from([(id, Some(known))]);
        lookups.keep(&answers, || false);
        assert_eq!(lookups.answered(id), None);
        // A removal that arrives during this check waits until the answers are kept, and then forgets them.
        let mut is_locked = false;
        lookups.keep(&answers, || {
            is_locked = lookups.kept.try_lock().is_err();
            true
        });
        assert!(is_locked);
        assert_eq!(lookups.answered(id), Some(Some(known)));
        lookups.forget();
        assert_eq!(lookups.answered(id), None);
    }
}
