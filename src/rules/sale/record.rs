//! Outcomes of settled attempts as they reach the gate, in any order and any number of times.

use super::{Phase, Sale, State};
use crate::port::{CloseReason, Outcome, Settlement};

/// What a map may keep of memory that it does not need.
const SPARE: usize = 4_096;

impl Sale {
    pub fn record(&mut self, settlements: &[Settlement]) {
        for settlement in settlements {
            // A record that names nothing real may name any product.
            if !matches!(settlement.outcome, Outcome::NoAccount | Outcome::Rejected) {
                self.product.get_or_insert(settlement.attempt.product);
            }
            self.record_one(settlement);
        }
        if self.pending.is_empty() && self.pending.capacity() > SPARE {
            self.pending.shrink_to(SPARE);
        }
    }

    fn record_one(&mut self, settlement: &Settlement) {
        let (user, attempt) = (settlement.attempt.user, settlement.attempt.id);
        let held = self.holders.get(&user.into()).copied();
        let outcome = if self.has_ended(settlement) {
            Outcome::Released
        } else {
            settlement.outcome
        };
        match (outcome, held) {
            (Outcome::Ordered, Some(held)) if held.state.is_pending() => {
                self.settle(user, attempt);
            }
            (Outcome::Ordered, None) => match &mut self.phase {
                // The set of holders has grown: API nodes with a sold-out mark must read it again.
                Phase::Open { .. } => {
                    self.move_units(-1);
                    self.holders_epoch += 1;
                    self.hold(user, attempt, State::Ordered);
                }
                Phase::Loading {
                    recorded_while_loading,
                    ..
                } => {
                    *recorded_while_loading += 1;
                    self.hold(user, attempt, State::RecordedWhileLoading);
                }
                Phase::Closed => self.hold(user, attempt, State::RecordedWhileLoading),
                Phase::New | Phase::Lost => {}
            },
            (
                Outcome::SoldOut | Outcome::Released | Outcome::NoAccount | Outcome::Rejected,
                Some(held),
            ) if held.state.is_pending() && held.attempt == attempt => {
                self.forget(user);
                self.give_back();
            }
            (Outcome::AlreadyOrdered { by }, Some(held))
                if held.state.is_pending() && held.attempt == attempt =>
            {
                self.settle(user, by);
            }
            // The ledger has decided anew, and otherwise: it was set back, and its other orders may differ, too.
            (Outcome::SoldOut | Outcome::NoAccount | Outcome::Rejected, Some(held))
                if held.attempt == attempt && self.is_open() =>
            {
                self.close(Some(CloseReason::Requested));
            }
            // Counted already, or of an attempt that holds nothing.
            (
                Outcome::Ordered
                | Outcome::SoldOut
                | Outcome::Released
                | Outcome::NoAccount
                | Outcome::Rejected
                | Outcome::AlreadyOrdered { .. },
                _,
            ) => {}
        }
    }
}
