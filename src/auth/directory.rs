//! Whether the account of a token exists, known to each node without asking the ledger for every request.
//!
//! A node reads all accounts at its start and, every second, which were removed since and which are new (`sync`). An account
//! that it does not know is looked up in the ledger, many at a time (`lookup`): one that was made a moment ago, at another
//! node, works at once.
//!
//! A token that is older than its account was given to an account that is no more, whose id was handed out again after the
//! ledger was set back without a trace: it is refused. And so that this does not come to pass, the highest id that was handed
//! out is noted in the gate (`marks`), and new accounts continue above it.
//!
//! Tokens that were ended, by logging out for example, and accounts that are disabled are known in the same way: read at the
//! start, then every second what changed (`ended`). The node that ends a token knows it at once.

mod ended;
mod lookup;
mod marks;
mod refusal;
mod set;
mod sync;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use metrics::counter;
use tokio::sync::mpsc;

pub use marks::raise_lost_mark;
pub use refusal::AccountRefusal;

use self::{
    ended::EndedSessions,
    lookup::{LookupRequest, Lookups},
    set::AccountSet,
};
use super::Identity;
use crate::{
    ids::UserId,
    lifecycle::Lifecycle,
    port::{AccountDirectory, AccountMarks, CommittedOffsets, LedgerError, LogEnds, SessionRule},
    telemetry::metric,
};

/// Longest time for which a start waits until all accounts are read. After it, reading goes on in the background, and accounts
/// that are not read yet are looked up.
const LOADING: Duration = Duration::from_secs(15);

/// The engines that the directory reads from and writes to.
pub struct DirectoryEngines {
    pub ledger: Arc<dyn AccountDirectory>,
    pub offsets: Arc<dyn CommittedOffsets>,
    pub gate: Arc<dyn AccountMarks>,
    pub log: Arc<dyn LogEnds>,
    /// The consumer group whose committed offsets show what is settled.
    pub group: String,
}

/// The accounts that exist.
pub struct Directory {
    engines: DirectoryEngines,
    set: ArcSwap<AccountSet>,
    ended: EndedSessions,
    /// Tokens that were issued before this time (in seconds since 1970) are looked up. Rules that end only such tokens are not
    /// kept in memory.
    horizon: AtomicI64,
    lookups: Lookups,
    /// Counts removals of accounts. The answer of a lookup that began before a removal may be wrong after it.
    removals: AtomicU64,
    /// The highest id that is known to have been handed out. A ledger that is set back does not lower it.
    reached: AtomicI64,
    /// The state of the ledger ([`AccountPosition::epoch`]) before the gate's note of ids was read last.
    ///
    /// [`AccountPosition::epoch`]: crate::port::AccountPosition::epoch
    noted_in: ArcSwapOption<String>,
}

impl Directory {
    /// Reads the accounts, and starts the tasks that keep them up to date.
    pub async fn open(
        lifecycle: &Lifecycle,
        engines: DirectoryEngines,
    ) -> Result<Arc<Self>, LedgerError> {
        let (directory, asked) = Self::new(engines);
        let position = directory.first_position().await?;
        directory.start_lookups(lifecycle, asked);
        let (syncing, stop) = (Arc::clone(&directory), lifecycle.stop().clone());
        let (loaded, is_loaded) = tokio::sync::oneshot::channel();
        lifecycle.spawn("accounts", async move {
            syncing.keep(position, loaded, stop).await;
        });
        let _ = tokio::time::timeout(LOADING, is_loaded).await;
        Ok(directory)
    }

    /// A directory that keeps no account in memory, and looks up each.
    #[cfg(test)]
    pub(super) fn without_memory(lifecycle: &Lifecycle, engines: DirectoryEngines) -> Arc<Self> {
        let (directory, asked) = Self::new(engines);
        directory.start_lookups(lifecycle, asked);
        directory
    }

    fn new(engines: DirectoryEngines) -> (Arc<Self>, mpsc::Receiver<LookupRequest>) {
        let (lookups, asked) = Lookups::new();
        let directory = Self {
            engines,
            set: ArcSwap::default(),
            ended: EndedSessions::default(),
            horizon: AtomicI64::new(i64::MIN),
            lookups,
            removals: AtomicU64::new(0),
            reached: AtomicI64::new(0),
            noted_in: ArcSwapOption::empty(),
        };
        (Arc::new(directory), asked)
    }

    fn start_lookups(
        self: &Arc<Self>,
        lifecycle: &Lifecycle,
        asked: mpsc::Receiver<LookupRequest>,
    ) {
        let (looking, stop) = (Arc::clone(self), lifecycle.stop().clone());
        lifecycle.spawn("account lookups", async move {
            let (ledger, removals) = (looking.engines.ledger.as_ref(), &looking.removals);
            looking.lookups.answer(ledger, removals, asked, stop).await;
        });
    }

    /// Lets a token in if its account exists and is not younger than the token, and if the token was not ended. Most calls are
    /// answered from memory, without a lock.
    pub async fn admit(&self, identity: &Identity) -> Result<(), AccountRefusal> {
        if self.is_known(identity) {
            return Ok(());
        }
        if self.is_ended(identity) {
            return Err(AccountRefusal::Ended);
        }
        let found = self.lookups.look_up(identity.user).await?;
        let Some(found) = found.filter(|found| found.made_at <= identity.issued_at) else {
            counter!(metric::UNKNOWN_ACCOUNTS).increment(1);
            return Err(AccountRefusal::Unknown);
        };
        if found.sessions.admits(identity.issued_at) {
            Ok(())
        } else {
            Err(AccountRefusal::Ended)
        }
    }

    /// True if memory alone lets the token in.
    #[must_use]
    pub fn is_known(&self, identity: &Identity) -> bool {
        let made_by = self.set.load().made_by(identity.user);
        made_by.is_some_and(|made_by| made_by <= identity.issued_at)
            && identity.issued_at >= self.horizon.load(Ordering::Acquire)
            && !self.is_ended(identity)
    }

    /// True if memory alone knows that the token was ended.
    #[must_use]
    pub fn is_ended(&self, identity: &Identity) -> bool {
        self.ended.refuses(identity.user, identity.issued_at)
    }

    /// Applies a rule for the tokens of an account that this node has just stored, before the node reads it from the ledger as all
    /// nodes do.
    pub fn note_sessions(&self, id: UserId, rule: SessionRule) {
        self.ended.apply([(id, rule)]);
    }
}
