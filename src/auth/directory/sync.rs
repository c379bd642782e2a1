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
    port::{AccountPosition, EarlierReads, LedgerError},
    telemetry::metric,
};

/// Interval between two readings of the changes in the ledger.
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval between two searches for accounts without keys, which were made by hand or by a version without keys.
const KEYS_INTERVAL: Duration = Duration::from_mins(1);
/// Number of accounts that one statement searches for missing keys, and number of such statements in a row.
const KEYS_AT_ONCE: u32 = 1_000;
const KEY_PAGES: u32 = 10;
/// Accounts that are read with one query: some hundredths of a second of PostgreSQL's time.
const PAGE: u32 = 50_000;
/// No token of this service is valid for longer, since `JWT_EXPIRES_IN` is at most 30 days. An older token comes from the original
/// service, and its account is looked up.
const LONGEST_TOKEN: TimeDelta = TimeDelta::days(31);

impl Directory {
    /// The present position in the ledger's changes. Also notes the highest id that was handed out.
    pub(super) async fn first_position(&self) -> Result<AccountPosition, LedgerError> {
        let now = self.engines.ledger.account_changes(None).await?;
        self.reached.fetch_max(now.reached, Ordering::Relaxed);
        Ok(now.position)
    }

    /// Reads all accounts, and then their changes until `stop` is cancelled. While the ledger does not answer, the accounts in
    /// memory stay as they are.
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
                        // Sending fails if the start no longer waits.
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

    /// Computes the keys of accounts above `after` that have none. Returns the id above which the next call has to continue.
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

    /// Reads all accounts, page by page, into a new set. The rules that end tokens are read before. Otherwise the set would let in
    /// tokens of which this node does not know yet that they were ended.
    async fn load(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.load_ended(self.move_horizon(now)).await?;
        let mut set = AccountSet::default();
        self.read_above(None, &mut set).await?;
        tracing::info!(accounts = set.len(), "the accounts are read");
        self.put(set);
        Ok(())
    }

    /// Reads which tokens issued after `since` were ended, and which accounts are disabled.
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

    /// Moves the horizon and returns it. From now on, tokens that were issued before the horizon are looked up.
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

    /// Reads the changes since a position, and moves the position behind them.
    async fn follow(&self, position: &mut AccountPosition) -> Result<(), LedgerError> {
        let changes = self.engines.ledger.account_changes(Some(position)).await?;
        self.hold_ids(changes.reached).await?;
        if changes.earlier == EarlierReads::Void {
            tracing::warn!(
                "the ledger was restarted or set back, or was not read for long: all accounts are read again"
            );
            counter!(metric::ACCOUNT_RELOADS).increment(1);
            // Answers of lookups in another state of the ledger may be wrong.
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
        // Another transaction may later commit an account with a lower id. Such an account is looked up when it is used.
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

    /// Notes that the ledger has handed out ids up to this one. If a higher id is known, the ledger was set back. New accounts
    /// must then not get the ids of the lost accounts.
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
