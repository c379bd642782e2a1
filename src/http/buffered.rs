//! How much all connections together hold of requests that are not answered: a budget, so that many clients who send much and
//! finish nothing cannot take the memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What every connection may hold without asking: the buffer that it has from its first byte on.
const FREE: usize = 8 * 1024;
/// Steps in which the rest is taken, so that a byte at a time costs little.
const STEP: usize = 4 * 1024;
/// More than actix holds for one connection: 128 KiB that are not parsed, and 32 KiB of a body.
const MOST: usize = 160 * 1024;

/// The budget. Clones share it.
#[derive(Clone)]
pub(super) struct Budget {
    limit: usize,
    used: Arc<AtomicUsize>,
}

/// One connection's part of it.
pub(super) struct Held {
    budget: Budget,
    bytes: usize,
    charged: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: Arc::default(),
        }
    }

    pub(super) fn nothing(&self) -> Held {
        Held {
            budget: self.clone(),
            bytes: 0,
            charged: 0,
        }
    }
}

impl Held {
    /// Notes bytes that were read. False if there is no room for them.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.bytes <= FREE || self.charge()
    }

    /// Notes that no more than so many bytes are held now.
    pub(super) fn reduce_to(&mut self, bytes: usize) {
        self.bytes = bytes;
        if self.charged > 0 && bytes <= FREE {
            self.give_back();
        }
    }

    fn charge(&mut self) -> bool {
        let due = (self.bytes.min(MOST) - FREE).next_multiple_of(STEP);
        let more = due.saturating_sub(self.charged);
        let room = |used: usize| {
            let used = used + more;
            (used <= self.budget.limit).then_some(used)
        };
        let taken = more == 0
            || self
                .budget
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
                .is_ok();
        if taken {
            self.charged += more;
        }
        taken
    }

    fn give_back(&mut self) {
        self.budget.used.fetch_sub(self.charged, Ordering::Relaxed);
        self.charged = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_always_have_room_and_large_ones_as_long_as_there_is_some() {
        let budget = Budget::new(3 * STEP);
        let mut all: Vec<_> = (0..10).map(|_| budget.nothing()).collect();
        assert!(all.iter_mut().all(|held| held.add(FREE)));
        let fit = all.iter_mut().filter_map(|held| held.add(1).then_some(()));
        assert_eq!(fit.count(), 3);
        all[0].reduce_to(0);
        assert!(all[5].add(1), "room that is given back is taken again");
        assert!(!all[6].add(1));
        drop(all);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_connection_is_charged_no_more_than_is_ever_held_for_it() {
        let budget = Budget::new(1 << 20);
        let mut held = budget.nothing();
        assert!((0..1_000).all(|_| held.add(100_000)));
        assert_eq!(budget.used.load(Ordering::Relaxed), MOST - FREE);
    }
}
