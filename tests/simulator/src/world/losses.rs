//! What servers lose, and which attempts have no trace any more after it.

use std::collections::BTreeSet;

use flashsale::{
    ids::{AttemptId, LedgerId, UserId},
    port::{LogEnds, LogEntry, LogRecord, Offset, Outcome, Partition},
};
use uuid::Uuid;

use super::{super::lock::lock, GROUP, World, short};
use crate::model::{GateImage, Part};

impl World {
    pub(in super::super) fn empty_gate(&self) {
        let gate = self.gate();
        self.lose(|| gate.empty());
    }

    pub(in super::super) fn lose_key(&self, part: Part) {
        let gate = self.gate();
        // A loading brings everything anew.
        if !gate.is_open(self.sale) {
            return;
        }
        self.seen().key_lost = true;
        self.lose(|| gate.lose(self.sale, part));
    }

    pub(in super::super) fn hand_gate_over(&self) {
        let gate = self.gate();
        let other = LedgerId(Uuid::from_u128(u128::MAX));
        self.lose(|| gate.hand_over_from(other));
    }

    pub(in super::super) fn save_gate(&self) {
        *lock(&self.image) = self.gate().image();
    }

    pub(in super::super) fn restart_gate(&self, forgets: bool) {
        let gate = self.gate();
        let image = if forgets {
            GateImage::default()
        } else {
            lock(&self.image).clone()
        };
        self.seen().may_be_short |= !forgets;
        self.lose(|| gate.restart_from(&image));
    }

    pub(in super::super) fn save_ledger(&self) {
        *lock(&self.backup) = Some(self.ledger.image());
    }

    /// Sets the ledger back to its backup. What it had settled since is settled again if it is in the log still.
    pub(in super::super) fn set_ledger_back(&self) {
        let Some(backup) = lock(&self.backup).clone() else {
            return;
        };
        let (settled, orders) = (self.ledger.settled_ids(), self.ledger.orders(self.sale));
        let is_refused = |id: &AttemptId| {
            let outcome = self.ledger.outcome(*id);
            matches!(
                outcome,
                Some(Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected)
            )
        };
        let refused: Vec<_> = settled.iter().copied().filter(is_refused).collect();
        let accounts = self.ledger.accounts();
        self.ledger.set_back(&backup);
        self.seen().times_set_back += 1;
        self.seen().may_be_short = true;
        self.terms_changed();
        let there: BTreeSet<UserId> = self.ledger.accounts().into_iter().collect();
        let kept = self.ledger.orders(self.sale);
        let (pending, logged) = (self.pending(), self.logged());
        let mut seen = self.seen();
        let lost = settled
            .iter()
            .filter(|id| self.ledger.outcome(**id).is_none());
        seen.erased
            .extend(lost.filter(|id| !pending.contains(id) && !logged.contains(id)));
        let is_lost = |id: &AttemptId| self.ledger.outcome(*id).is_none();
        seen.refusals_lost
            .extend(refused.into_iter().filter(is_lost));
        let lost_orders = orders.keys().filter(|user| !kept.contains_key(user));
        seen.lost_orders_of.extend(lost_orders);
        let lost_accounts = accounts.into_iter().filter(|id| !there.contains(id));
        seen.without_account.extend(lost_accounts);
        drop(seen);
        self.note_forgotten_accounts();
    }

    /// Notes which lost accounts nobody knows of any more: neither the gate, nor, if its note is lost, the log.
    fn note_forgotten_accounts(&self) {
        let there: BTreeSet<UserId> = self.ledger.accounts().into_iter().collect();
        let partitions = self.log.ends_now().into_keys();
        let records = partitions.flat_map(|partition| self.log.all(partition));
        let logged: BTreeSet<UserId> = records.filter_map(|record| user_of(&record)).collect();
        let mark = self.gate().noted_accounts();
        let mut seen = self.seen();
        let known = |id: &UserId| match mark {
            Some(mark) => id.value() <= mark,
            None => logged.contains(id),
        };
        let lost = seen.without_account.iter().copied();
        let lost: Vec<_> = lost
            .filter(|id| !there.contains(id) && !known(id))
            .collect();
        seen.forgotten.extend(lost);
    }

    /// Does something that makes the gate forget; notes what has no trace any more after it, and what came back.
    pub(super) fn lose(&self, work: impl FnOnce()) {
        let before = self.pending();
        work();
        let after = self.pending();
        let logged = self.logged();
        let traced = |attempt: &AttemptId| {
            logged.contains(attempt) || self.ledger.outcome(*attempt).is_some()
        };
        let now = self.now();
        let mut seen = self.seen();
        seen.gate_losses.push(now);
        // One of these may be on its way to the log, and come after the sale was loaded anew.
        let erased: Vec<_> = before.difference(&after).filter(|id| !traced(id)).collect();
        seen.may_be_short |= !erased.is_empty();
        seen.erased.extend(erased);
        seen.resurrected.extend(after.difference(&before));
        seen.owed.extend(logged);
        drop(seen);
        self.note_forgotten_accounts();
    }

    /// The gate opens the sale: whatever was accepted before it lost its memory must be settled by now, or its units are
    /// given away twice.
    pub(in super::super) fn opened(&self) {
        let owed = std::mem::take(&mut self.seen().owed);
        let held = self.gate().held_attempts(self.sale);
        for attempt in owed {
            // One that never was in the gate may come at any time. A holder has the unit already: the ledger was set back after
            // the sale's snapshot.
            let is_excused = self.seen().by_hand.contains(&attempt) || held.contains(&attempt);
            let is_settled = self.ledger.outcome(attempt).is_some();
            if !is_settled && !is_excused && !self.seen().log_made_anew {
                self.broken(format!(
                    "the sale was opened before {} was settled, which was in the log",
                    short(attempt)
                ));
            }
        }
    }

    /// The attempts that are pending in the gate.
    fn pending(&self) -> BTreeSet<AttemptId> {
        self.gate().pending(self.sale)
    }

    /// The attempts that are in the log and not settled. Without those that no worker will read: a log that was made anew and
    /// has grown past the offset of a worker that reads on looks to it like the old one. Only the gate knows these.
    fn logged(&self) -> BTreeSet<AttemptId> {
        let passed = self.ledger.progress_of(GROUP, self.log.name());
        let made_anew = self.seen().log_made_anew;
        let is_read = |partition: Partition, offset: Offset| {
            !made_anew || passed.get(&partition).is_none_or(|next| offset >= *next)
        };
        let partitions = self.log.ends_now().into_keys();
        let records = partitions.flat_map(|partition| {
            let records = self.log.all(partition).into_iter();
            records.filter(move |record| is_read(partition, record.offset))
        });
        let attempts = records.filter_map(|record| attempt_of(&record));
        let unsettled = |id: &AttemptId| self.ledger.outcome(*id).is_none();
        attempts.filter(unsettled).collect()
    }

    /// Notes that records were destroyed.
    pub(in super::super) fn destroyed(&self, partition: Partition, records: &[LogRecord]) {
        let (pending, logged) = (self.pending(), self.logged());
        let mut seen = self.seen();
        let gone = |offset: Offset| records.iter().any(|record| record.offset == offset);
        seen.poison
            .retain(|(of, offset, _)| *of != partition || !gone(*offset));
        for id in records.iter().filter_map(attempt_of) {
            if self.ledger.outcome(id).is_none() {
                seen.owed.remove(&id);
                if !pending.contains(&id) && !logged.contains(&id) {
                    seen.erased.insert(id);
                }
            }
        }
    }
}

fn attempt_of(record: &LogRecord) -> Option<AttemptId> {
    match &record.entry {
        LogEntry::Attempt(attempt) => Some(attempt.id),
        LogEntry::Undecodable(_) | LogEntry::OtherLedger(_) => None,
    }
}

fn user_of(record: &LogRecord) -> Option<UserId> {
    match &record.entry {
        LogEntry::Attempt(attempt) => Some(attempt.user),
        LogEntry::Undecodable(_) | LogEntry::OtherLedger(_) => None,
    }
}
