//! One sale in a gate that is memory: who holds a unit, what is available, what is pending. The rules, and why the balance
//! holds, are those of `engine/redis/scripts/record_outcomes.lua`; here they are Rust. No locks, no I/O; time comes in, in
//! milliseconds. `load` brings a sale in, `record` the outcomes of attempts. What an operator changes, and what is done when a part
//! is lost, is in `upkeep`; units that leave the sale are in `withdrawal`.

mod load;
mod record;
mod upkeep;
mod withdrawal;

pub use upkeep::Part;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    ids::{AttemptId, ProductId, UserId},
    port::{
        ClaimOutcome, GateStatus, HeldUnit, Holder, LoadToken, MovementId, Outcome, PendingEntry,
        ReleaseOutcome, ReserveOutcome, SaleSwitch, SaleTerms, Settlement, Standing,
    },
    rules::shopper_result::Holders,
};

/// A sale. A holder costs 26 bytes of a table that is half to seven eighths full: 55 MB for a million.
#[derive(Default, Clone)]
pub struct Sale {
    phase: Phase,
    holders: HashMap<Key, Held>,
    /// Those among the holders whose settlement is not recorded, with the time of their reservation or last claim.
    pending: HashMap<UserId, i64>,
    /// `None` once it was lost.
    available: Option<i64>,
    holders_epoch: u64,
    /// Units that were set aside, by movement, until the ledger has closed it.
    withdrawn: BTreeMap<MovementId, u64>,
    /// Attempts whose orders the ledger has ended and that were taken out. A paused worker may still record the
    /// settlement of one.
    ended: HashSet<AttemptId>,
    /// True once `pending` was lost: holders may be missing from it.
    unlisted: bool,
    /// Once it is known.
    product: Option<ProductId>,
    /// When all this is forgotten; `None` before anything is known.
    expires: Option<i64>,
}

#[derive(Default, Clone)]
enum Phase {
    #[default]
    New,
    Loading {
        token: LoadToken,
        started: i64,
        /// Orders recorded meanwhile that the snapshot did not bring, so far.
        recorded_while_loading: i64,
    },
    Open {
        token: LoadToken,
        terms: SaleTerms,
    },
    /// What is held may be out of date: to be settled, and then loaded anew.
    Closed,
    /// How it stood was lost; what is held was not.
    Lost,
}

/// A shopper's id as bytes: unlike a number it needs no alignment, which would cost another seven bytes a holder.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 8]);

impl From<UserId> for Key {
    fn from(user: UserId) -> Self {
        Self(user.value().to_ne_bytes())
    }
}

#[derive(Clone, Copy)]
struct Held {
    attempt: AttemptId,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    /// Pending, and somebody else answers for it: it cannot be given back.
    Claimed,
    Ordered,
    /// Ordered, recorded while the sale was being loaded.
    RecordedWhileLoading,
}

impl State {
    fn is_pending(self) -> bool {
        matches!(self, Self::Pending | Self::Claimed)
    }

    fn standing(self) -> Standing {
        if self.is_pending() {
            Standing::Pending
        } else {
            Standing::Success
        }
    }
}

impl Sale {
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    #[must_use]
    pub fn is_of(&self, product: ProductId) -> bool {
        self.product == Some(product)
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// What this gate knows of the sale's holders.
    #[must_use]
    pub fn holders_known(&self) -> Holders {
        match self.status() {
            GateStatus::Unknown => Holders::Absent,
            status @ GateStatus::Open { .. } if !status.is_contradictory() => Holders::Complete,
            GateStatus::Open { .. } | GateStatus::Closed { .. } => Holders::InDoubt,
        }
    }

    #[must_use]
    pub fn is_pending(&self, user: UserId) -> bool {
        self.standing(user) == Some(Standing::Pending)
    }

    #[must_use]
    pub fn has_order(&self, user: UserId) -> bool {
        self.standing(user) == Some(Standing::Success)
    }

    /// How the shopper's unit stands, if they hold one.
    #[must_use]
    pub fn standing(&self, user: UserId) -> Option<Standing> {
        let held = self.holders.get(&user.into())?;
        Some(held.state.standing())
    }

    /// True if the holder shows the shopper's result once this is recorded.
    #[must_use]
    pub fn holder_shows_result(&self, settlement: &Settlement) -> bool {
        let attempt = &settlement.attempt;
        let held = self.holders.get(&attempt.user.into());
        match (settlement.outcome, held) {
            (_, Some(held)) if !held.state.is_pending() => true,
            (Outcome::Ordered, _) => !matches!(self.phase, Phase::New | Phase::Lost),
            (Outcome::AlreadyOrdered { .. }, Some(held)) => held.attempt == attempt.id,
            (Outcome::AlreadyOrdered { .. }, None)
            | (Outcome::SoldOut | Outcome::Released | Outcome::NoAccount | Outcome::Rejected, _) => {
                false
            }
        }
    }

    pub fn reserve(&mut self, asked: Holder, now: i64) -> ReserveOutcome {
        let (Phase::Open { terms, .. }, Some(available)) = (&self.phase, self.available) else {
            return ReserveOutcome::Closed;
        };
        let SaleTerms { window, switch, .. } = *terms;
        if let Some(held) = self.holders.get_mut(&asked.user.into()) {
            // The same attempt again is a resend: nobody new relies on it, so its release must stay possible.
            if held.state == State::Pending && held.attempt != asked.attempt {
                held.state = State::Claimed;
            }
            return ReserveOutcome::AlreadyHeld {
                attempt: held.attempt,
                standing: held.state.standing(),
            };
        }
        if switch == SaleSwitch::Cancelled {
            ReserveOutcome::Ended
        } else if now < millis(window.start) {
            ReserveOutcome::NotStarted
        } else if now >= millis(window.end) {
            ReserveOutcome::Ended
        } else if switch == SaleSwitch::Paused {
            ReserveOutcome::Paused
        } else if available <= 0 {
            ReserveOutcome::SoldOut
        } else {
            self.available = Some(available - 1);
            self.hold(asked.user, asked.attempt, State::Pending);
            self.pending.insert(asked.user, now);
            ReserveOutcome::Reserved
        }
    }

    pub fn release(&mut self, holder: Holder) -> ReleaseOutcome {
        match self.holders.get(&holder.user.into()) {
            Some(held) if held.attempt == holder.attempt => match held.state {
                State::Claimed => ReleaseOutcome::Claimed,
                State::Ordered | State::RecordedWhileLoading => ReleaseOutcome::NotHeld,
                State::Pending => {
                    self.forget(holder.user);
                    self.give_back();
                    ReleaseOutcome::Released
                }
            },
            Some(_) | None => ReleaseOutcome::NotHeld,
        }
    }

    pub fn claim(&mut self, holder: Holder, now: i64) -> ClaimOutcome {
        match self.holders.get_mut(&holder.user.into()) {
            Some(held) if held.attempt == holder.attempt && held.state.is_pending() => {
                held.state = State::Claimed;
                self.pending.insert(holder.user, now);
                ClaimOutcome::Claimed
            }
            Some(_) | None => ClaimOutcome::NotPending,
        }
    }

    /// An entry without a pending holder names no attempt; a sale that is not open drops it.
    pub fn overdue(&mut self, now: i64, age: Duration, limit: usize) -> Vec<PendingEntry> {
        if !self.is_open() {
            let holders = &self.holders;
            let pending = |user: &UserId| holders.get(&Key::from(*user));
            self.pending
                .retain(|user, _| pending(user).is_some_and(|held| held.state.is_pending()));
        }
        let latest = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        // The oldest so far, never more than are asked for.
        let mut oldest = BTreeSet::new();
        for (user, since) in &self.pending {
            if *since <= latest {
                oldest.insert((*since, *user));
                if oldest.len() > limit {
                    oldest.pop_last();
                }
            }
        }
        let entry = |(since, user): (i64, UserId)| {
            let held = self.holders.get(&user.into())?;
            held.state.is_pending().then_some(PendingEntry {
                user,
                attempt: held.attempt,
                since: time(since),
            })
        };
        oldest.into_iter().filter_map(entry).collect()
    }

    #[must_use]
    pub fn status(&self) -> GateStatus {
        let pending = self.pending.len() as u64;
        match self.phase {
            Phase::New => GateStatus::Unknown,
            Phase::Open { terms, .. } => match self.available {
                Some(available) => GateStatus::Open {
                    window: terms.window,
                    switch: terms.switch,
                    available,
                    pending,
                    holders: self.holders.len() as u64,
                    holders_epoch: self.holders_epoch,
                    version: terms.version,
                    total: signed(terms.total),
                    complete: !self.unlisted,
                    withdrawn: self
                        .withdrawn
                        .iter()
                        .map(|(id, units)| (*id, *units))
                        .collect(),
                },
                None => GateStatus::Closed { pending },
            },
            Phase::Loading { .. } | Phase::Closed | Phase::Lost => GateStatus::Closed { pending },
        }
    }

    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        self.holders
            .keys()
            .filter_map(|key| UserId::new(i64::from_ne_bytes(key.0)))
            .collect()
    }

    #[must_use]
    pub fn held_units(&self) -> Vec<HeldUnit> {
        let held_unit = |(key, held): (&Key, &Held)| {
            Some(HeldUnit {
                user: UserId::new(i64::from_ne_bytes(key.0))?,
                attempt: held.attempt,
                standing: held.state.standing(),
            })
        };
        self.holders.iter().filter_map(held_unit).collect()
    }

    fn hold(&mut self, user: UserId, attempt: AttemptId, state: State) {
        self.holders.insert(user.into(), Held { attempt, state });
    }

    /// Its unit is sold.
    fn settle(&mut self, user: UserId, attempt: AttemptId) {
        self.pending.remove(&user);
        self.hold(user, attempt, State::Ordered);
    }

    fn forget(&mut self, user: UserId) {
        self.pending.remove(&user);
        self.holders.remove(&user.into());
    }

    fn give_back(&mut self) {
        self.move_units(1);
        self.holders_epoch += 1;
    }

    fn move_units(&mut self, units: i64) {
        if let Some(available) = &mut self.available {
            *available += units;
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// The end of time for what is none.
fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
