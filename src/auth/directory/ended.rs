//! Accounts whose tokens were ended, or that are disabled: a map beside the set of accounts, nearly always small or empty.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    ids::UserId,
    port::{Access, SessionRule},
};

/// The rules of accounts whose tokens were ended, or that are disabled. Other accounts have no rule.
#[derive(Default)]
pub(super) struct EndedSessions {
    /// Number of rules. While it is 0, requests take no lock.
    len: AtomicUsize,
    rules: RwLock<HashMap<UserId, SessionRule>>,
}

impl EndedSessions {
    /// True if a token of this account that was issued at this time (in seconds since 1970) was ended, or the account is disabled.
    pub(super) fn refuses(&self, id: UserId, issued_at: i64) -> bool {
        if self.len.load(Ordering::Acquire) == 0 {
            return false;
        }
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.get(&id).is_some_and(|rule| !rule.admits(issued_at))
    }

    /// Merges rules that were read from the ledger. A token that was ended stays ended, since a rule that was read earlier may
    /// arrive later.
    pub(super) fn apply(&self, told: impl IntoIterator<Item = (UserId, SessionRule)>) {
        let mut rules = self.rules();
        merge(&mut rules, told);
        self.count(&rules);
    }

    /// Merges the rules of all accounts that have one. All other accounts are enabled.
    pub(super) fn apply_all(&self, all: &HashMap<UserId, SessionRule>) {
        let mut rules = self.rules();
        for rule in rules.values_mut() {
            rule.access = Access::Enabled;
        }
        merge(&mut rules, all.iter().map(|(id, rule)| (*id, *rule)));
        self.count(&rules);
    }

    /// Removes the rules that end only tokens issued before `horizon` (in seconds since 1970). Such tokens are looked up.
    pub(super) fn forget_before(&self, horizon: i64) {
        if self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut rules = self.rules();
        rules.retain(|_, rule| rule.access == Access::Disabled || rule.valid_from > horizon);
        self.count(&rules);
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    fn rules(&self) -> RwLockWriteGuard<'_, HashMap<UserId, SessionRule>> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, rules: &HashMap<UserId, SessionRule>) {
        self.len.store(rules.len(), Ordering::Release);
    }
}

fn merge(
    rules: &mut HashMap<UserId, SessionRule>,
    told: impl IntoIterator<Item = (UserId, SessionRule)>,
) {
    for (id, rule) in told {
        let known = rules.entry(id).or_default();
        known.access = rule.access;
        known.valid_from = known.valid_from.max(rule.valid_from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: i64) -> UserId {
        UserId::new(value).unwrap()
    }

    fn rule(access: Access, valid_from: i64) -> SessionRule {
        SessionRule { access, valid_from }
    }

    #[test]
    fn ended_tokens_stay_ended_whatever_is_told_later() {
        let ended = EndedSessions::default();
        assert!(!ended.refuses(id(1), 0));
        ended.apply([(id(1), rule(Access::Enabled, 10))]);
        assert!(ended.refuses(id(1), 9) && !ended.refuses(id(1), 10));
        assert!(!ended.refuses(id(2), 0), "another account");
        ended.apply([(id(1), rule(Access::Enabled, 5))]);
        assert!(ended.refuses(id(1), 9), "an older rule came later");
        ended.apply_all(&HashMap::new());
        assert!(ended.refuses(id(1), 9), "the ledger was set back");
    }

    #[test]
    fn a_disabled_account_is_refused_until_it_is_enabled() {
        let ended = EndedSessions::default();
        ended.apply([(id(1), rule(Access::Disabled, 10))]);
        assert!(ended.refuses(id(1), i64::MAX));
        ended.apply([(id(1), rule(Access::Enabled, 10))]);
        assert!(ended.refuses(id(1), 9) && !ended.refuses(id(1), 10));
        ended.apply([(id(1), rule(Access::Disabled, 10))]);
        ended.apply_all(&HashMap::from([(id(2), rule(Access::Disabled, 0))]));
        assert!(!ended.refuses(id(1), 10) && ended.refuses(id(2), 10));
    }

    #[test]
    fn rules_of_tokens_that_have_expired_are_forgotten() {
        let ended = EndedSessions::default();
        ended.apply([
            (id(1), rule(Access::Enabled, 10)),
            (id(2), rule(Access::Disabled, 10)),
            (id(3), rule(Access::Enabled, 11)),
        ]);
        ended.forget_before(10);
        assert_eq!(ended.len(), 2);
        assert!(ended.refuses(id(2), i64::MAX) && ended.refuses(id(3), 10));
    }
}
