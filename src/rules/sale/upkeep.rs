//! What happens to a sale beside the shoppers: new terms, orders that end, and parts that are lost.

use chrono::{DateTime, Utc};

use super::{Held, Key, Phase, Sale, millis, signed};
use crate::{
    ids::UserId,
    port::{
        CloseReason, EndOrdersOutcome, Holder, MovementId, Outcome, SaleTerms, Settlement,
        TermsOutcome,
    },
};

/// What is kept of a sale under a key of its own where a server keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Stock,
    Holders,
    Pending,
    Meta,
}

impl Sale {
    /// Closes the sale until it is loaded anew, if what is kept of it contradicts itself, or for this reason.
    pub fn close(&mut self, reason: Option<CloseReason>) -> Option<CloseReason> {
        let found = match self.phase {
            Phase::Lost => Some(CloseReason::MetaLost),
            Phase::Open { .. } if self.available.is_none() => Some(CloseReason::StockLost),
            Phase::Open { .. } if self.unlisted => Some(CloseReason::PendingLost),
            Phase::Open { .. } if self.status().is_contradictory() => Some(CloseReason::OffBalance),
            Phase::Open { .. } => reason,
            Phase::New | Phase::Loading { .. } | Phase::Closed => None,
        };
        if found.is_some() {
            self.phase = Phase::Closed;
            self.unlisted = true;
        }
        found
    }

    /// Lists those as pending again who hold a pending attempt, and no longer those who hold none. How many were missing.
    pub fn relist(&mut self, now: i64) -> u64 {
        if !matches!(self.phase, Phase::Closed) || !self.unlisted {
            return 0;
        }
        self.unlisted = false;
        let pending = |(key, held): (&Key, &Held)| {
            let user = UserId::new(i64::from_ne_bytes(key.0))?;
            held.state.is_pending().then_some(user)
        };
        let held: Vec<UserId> = self.holders.iter().filter_map(pending).collect();
        let before = self.pending.len();
        for user in held {
            self.pending.entry(user).or_insert(now);
        }
        (self.pending.len() - before) as u64
    }

    /// Takes the units and holders of ended orders back.
    pub fn end_orders(&mut self, ended: &[Holder]) -> EndOrdersOutcome {
        if !self.is_open() || self.available.is_none() {
            return EndOrdersOutcome::NotOpen;
        }
        for holder in ended {
            self.ended.insert(holder.attempt);
            let held = self.holders.get(&holder.user.into());
            if held.is_some_and(|held| held.attempt == holder.attempt) {
                self.forget(holder.user);
                self.give_back();
            }
        }
        EndOrdersOutcome::TakenOut
    }

    /// True if the order of this settlement has ended. Happens when the worker that settled it was paused.
    #[must_use]
    pub fn has_ended(&self, settlement: &Settlement) -> bool {
        match settlement.outcome {
            Outcome::Ordered => self.ended.contains(&settlement.attempt.id),
            Outcome::AlreadyOrdered { by } => self.ended.contains(&by),
            Outcome::SoldOut | Outcome::Released | Outcome::NoAccount | Outcome::Rejected => false,
        }
    }

    /// Applies newer terms, and gives back what was set aside for movements that are closed in the ledger, by the rules of
    /// `set_terms.lua`.
    pub fn set_terms(
        &mut self,
        new: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> TermsOutcome {
        let (Phase::Open { terms, .. }, Some(available)) = (&mut self.phase, self.available) else {
            return TermsOutcome::NotOpen;
        };
        if terms.version > new.version || terms.version == new.version && *terms != new {
            return TermsOutcome::OthersInForce {
                version: terms.version,
            };
        }
        let (mut units, mut may_sell) = (0, false);
        if terms.version < new.version {
            may_sell = (terms.window, terms.switch) != (new.window, new.switch);
            units = signed(new.total) - signed(terms.total);
            *terms = new;
            self.expires = Some(millis(expires));
        }
        for movement in closed {
            units += signed(self.withdrawn.remove(movement).unwrap_or(0));
        }
        self.available = Some(available + units);
        if units > 0 || may_sell {
            self.holders_epoch += 1;
        }
        TermsOutcome::InForce
    }

    /// As if a key of the server had been evicted.
    pub fn lose(&mut self, part: Part) {
        match part {
            Part::Stock => self.available = None,
            Part::Holders => self.holders.clear(),
            Part::Pending => {
                self.pending.clear();
                self.unlisted = true;
            }
            Part::Meta => {
                if !matches!(self.phase, Phase::New) {
                    self.phase = Phase::Lost;
                }
            }
        }
    }
}
