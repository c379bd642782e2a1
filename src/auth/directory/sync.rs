//! Keeps the accounts in memory as the ledger has them.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, gauge};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Directory, set::AccountSet};
use crate::{
    ids::UserId,
    port::{AccountPosition, LedgerError},
    telemetry::metric,
};

/// How often the ledger is asked what changed.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often accounts without keys are looked for: those made by hand, or by a version without keys.
const KEYS_INTERVAL: Duration = Duration::from_mins(1);
/// Accounts without keys that are looked at in one statement, and how many statements follow each other.
const KEYS_AT_ONCE: u32 = 1_000;
const KEY_PAGES: u32 = 10;
/// Accounts that are read with one query: some hundredths of a second of PostgreSQL's time.
const PAGE: u32 = 50_000;
/// No token is good for longer: `JWT_EXPIRES_IN` is at most 30 days. Older ones are of the original service, and are looked up.
const LONGEST_TOKEN: TimeDelta = TimeDelta::days(31);

impl Directory {
    /// The position of now, and how far ids have come.
    pub(super) async fn first_position(&self) -> Result<AccountPosition, LedgerError> {
        let now = self.engines.ledger.account_changes(None).await?;
        self.reached.fetch_max(now.reached, Ordering::Relaxed);
        Ok(now.position)
    }

    /// Reads all accounts, then what changes, until told to stop. While the ledger is away, the accounts stay as they are.
    pub(super) async fn keep(
        &self,
        mut position: AccountPosition,
        loaded: oneshot::Sender<()>,
        stop: CancellationToken,
    ) {
        let mut loaded = Some(loaded);
        let mut failing = false;
        let (mut keys_due, mut keys_after) = (Instant::now(), None);
        loop {
            let kept = if loaded.is_some() {
                self.load(position.made_at).await
            } else {
                self.follow(&mut position).await
            };
            match kept {
                Ok(()) => {
                    if let Some(loaded) = loaded.take() {
                        // The start may have given up waiting.
                        let _ = loaded.send(());
                        continue;
                    }
                    if failing {
                        tracing::info!("the accounts can be read again");
                    }
                    failing = false;
                    self.follow_note(&position.epoch).await;
                    if Instant::now() >= keys_due {
                        keys_due = Instant::now() + KEYS_INTERVAL;
                        keys_after = self.set_missing_keys(keys_after).await;
                        self.ended
                            .forget_before(self.move_horizon(position.made_at));
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the accounts cannot be read; those that are known stay");
                    }
                    failing = true;
                }
            }
            if tokio::time::timeout(INTERVAL, stop.cancelled())
                .await
                .is_ok()
            {
                return;
            }
        }
    }

    /// Computes keys of accounts that have none, above `after`. From where to go on next time.
    async fn set_missing_keys(&self, after: Option<i64>) -> Option<i64> {
        let mut last = after;
        for _ in 0..KEY_PAGES {
            let from = last.unwrap_or(i64::MIN);
            match self
                .engines
                .ledger
                .set_missing_keys(from, KEYS_AT_ONCE)
                .await
            {
                Ok(page) => {
                    if page.set > 0 {
                        tracing::info!(
                            keys = page.set,
                            "keys of accounts were missing and are set"
                        );
                    }
                    last = page.last;
                }
                Err(error) => {
                    tracing::warn!(%error, "accounts lack keys, and they cannot be set; run `flashsale migrate`");
                    return after;
                }
            }
            if last.is_none() {
                break;
            }
        }
        last
    }

    /// Reads all accounts, page by page, into a new set; before it those whose tokens were ended, so that no token is let in by
    /// the set alone before it is known whether it was ended.
    async fn load(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.load_ended(self.move_horizon(now)).await?;
        let mut set = AccountSet::default();
        self.read_above(None, &mut set).await?;
        tracing::info!(accounts = set.len(), "the accounts are read");
        self.put(set);
        Ok(())
    }

    /// Reads which tokens were ended since then, and which accounts are disabled.
    async fn load_ended(&self, since: i64) -> Result<(), LedgerError> {
        let (ledger, mut after) = (&self.engines.ledger, None);
        let mut rules = HashMap::new();
        loop {
            let page = ledger.ended_sessions(after, since, PAGE).await?;
            after = page.last().map(|(id, _)| *id);
            let is_last = u32::try_from(page.len()).is_ok_and(|len| len < PAGE);
            rules.extend(page);
            if is_last {
                break;
            }
        }
        self.ended.apply_all(&rules);
        self.gauge_ended();
        Ok(())
    }

    /// Tokens issued before what is answered are looked up from now on.
    fn move_horizon(&self, now: DateTime<Utc>) -> i64 {
        let horizon = (now - LONGEST_TOKEN).timestamp();
        self.horizon
            .fetch_max(horizon, Ordering::AcqRel)
            .max(horizon)
    }

    /// Reads the accounts above an id into a set. True if there were any.
    async fn read_above(
        &self,
        mut after: Option<UserId>,
        set: &mut AccountSet,
    ) -> Result<bool, LedgerError> {
        let first = after;
        loop {
            let page = self.engines.ledger.accounts_after(after, PAGE).await?;
            set.add_page(&page);
            let Some(last) = page.runs.last() else {
                break;
            };
            after = Some(last.last);
            if page.len() < u64::from(PAGE) {
                break;
            }
        }
        Ok(after != first)
    }

    /// Reads what changed since a position, and moves it.
    async fn follow(&self, position: &mut AccountPosition) -> Result<(), LedgerError> {
        let changes = self.engines.ledger.account_changes(Some(position)).await?;
        self.hold_ids(changes.reached).await?;
        if changes.restart {
            tracing::warn!(
                "the ledger was restarted or set back, or was not read for long: all accounts are read again"
            );
            counter!(metric::ACCOUNT_RELOADS).increment(1);
            // What was looked up in another state of the ledger is worth nothing.
            self.removals.fetch_add(1, Ordering::AcqRel);
            self.load(changes.position.made_at).await?;
            self.lookups.forget();
            *position = changes.position;
            return Ok(());
        }
        if !changes.sessions.is_empty() {
            self.ended.apply(changes.sessions);
            self.gauge_ended();
        }
        let mut set: Option<AccountSet> = None;
        let current = self.set.load_full();
        if !changes.removed.is_empty() {
            self.removals.fetch_add(1, Ordering::AcqRel);
            let set = set.get_or_insert_with(|| (*current).clone());
            for ids in &changes.removed {
                set.remove(ids);
            }
            self.lookups.forget();
        }
        // Those that another transaction commits later with a lower id are looked up when they come.
        let mut new = AccountSet::default();
        let last = set.as_ref().unwrap_or(&current).last();
        if self.read_above(last, &mut new).await? {
            set.get_or_insert_with(|| (*current).clone()).merge(&new);
        }
        if let Some(set) = set {
            self.put(set);
        }
        *position = changes.position;
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)] // a gauge
    fn gauge_ended(&self) {
        gauge!(metric::ACCOUNTS_WITH_ENDED_TOKENS).set(self.ended.len() as f64);
    }

    #[allow(clippy::cast_precision_loss)] // a gauge
    fn put(&self, set: AccountSet) {
        gauge!(metric::ACCOUNTS_KNOWN).set(set.len() as f64);
        self.set.store(Arc::new(set));
    }

    /// The ledger has handed out ids up to this one. If they were once higher, it was set back, and new accounts must not get
    /// the ids of those that are lost.
    async fn hold_ids(&self, reached: i64) -> Result<(), LedgerError> {
        let before = self.reached.fetch_max(reached, Ordering::Relaxed);
        if let Some(lost) = UserId::new(before)
            && reached < before
        {
            tracing::error!(
                reached,
                before,
                "the ledger was set back: ids of new accounts continue above those that are lost"
            );
            self.engines.ledger.continue_accounts_above(lost).await?;
        }
        Ok(())
    }
}
