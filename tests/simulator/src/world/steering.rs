//! What operators decided about the sale so far, and what presses may be answered because of it.

use flashsale::port::{SaleSwitch, SaleTerms};

use super::World;
use crate::clock::at;

impl World {
    /// The ledger has other terms of the sale from now on.
    pub(in super::super) fn terms_changed(&self) {
        let Some(terms) = self.ledger.listing(self.sale).map(|row| row.terms()) else {
            return;
        };
        let now = self.now();
        let mut seen = self.seen();
        seen.terms.push((now, terms));
        if sells(terms, now) {
            seen.halted = None;
        }
    }

    /// An operator is answered that the gate has applied these terms. If they sell nothing, nobody gets a unit any more until the
    /// ledger has others.
    pub(in super::super) fn terms_are_applied(&self, terms: SaleTerms) {
        let newest = self.ledger.listing(self.sale).map(|row| row.terms());
        let now = self.now();
        let mut seen = self.seen();
        if newest == Some(terms) && !sells(terms, now) {
            seen.halted.get_or_insert(now);
        }
    }

    /// True if somebody may be told that the sale has ended.
    pub(in super::super) fn may_have_ended(&self, answered: u64) -> bool {
        let ended = |terms: &SaleTerms| {
            terms.switch == SaleSwitch::Cancelled || terms.window.end <= at(answered)
        };
        self.had_terms(answered, ended)
    }

    /// True if somebody may be told that the sale is paused.
    pub(in super::super) fn may_be_paused(&self, answered: u64) -> bool {
        self.had_terms(answered, |terms| terms.switch == SaleSwitch::Paused)
    }

    fn had_terms(&self, answered: u64, like: impl Fn(&SaleTerms) -> bool) -> bool {
        let seen = self.seen();
        let mut until = seen.terms.iter().filter(|(from, _)| *from <= answered);
        until.any(|(_, terms)| like(terms))
    }
}

fn sells(terms: SaleTerms, now: u64) -> bool {
    terms.switch == SaleSwitch::On && at(now) < terms.window.end
}
