//! A memory budget, shared by all connections, for the bytes of requests that are not answered yet. Without it, many clients that
//! send large incomplete requests could exhaust the memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes that each connection may hold without a charge: actix allocates a read buffer of this size for the first byte.
const FREE_BYTES: usize = 8 * 1024;
/// Charges are multiples of this number of bytes, so that a client that sends single bytes causes few of them.
const CHARGE_STEP: usize = 4 * 1024;
/// Bytes beyond which a connection is charged no more: actix holds at most 128 KiB of unparsed bytes and 32 KiB of a body.
const CHARGED_MAX: usize = 160 * 1024;

/// The budget in bytes. Clones share it.
#[derive(Clone)]
pub(super) struct Budget {
    limit: usize,
    used: Arc<AtomicUsize>,
}

/// The bytes that one connection holds, and its charge to the budget, which is released on drop.
pub(super) struct HeldBytes {
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

    /// The counter of a new connection, which holds no bytes.
    pub(super) fn for_connection(&self) -> HeldBytes {
        HeldBytes {
            budget: self.clone(),
            bytes: 0,
            charged: 0,
        }
    }
}

impl HeldBytes {
    /// Adds bytes that were read. False if the budget has no room for them.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.bytes <= FREE_BYTES || self.charge()
    }

    /// Sets the number of bytes that the connection still holds.
    pub(super) fn reduce_to(&mut self, bytes: usize) {
        self.bytes = bytes;
        if self.charged > 0 && bytes <= FREE_BYTES {
            self.release();
        }
    }

    fn charge(&mut self) -> bool {
        let due = (self.bytes.min(CHARGED_MAX) - FREE_BYTES).next_multiple_of(CHARGE_STEP);
        let more = due.saturating_sub(self.charged);
        let room = |used: usize| {
            let used = used + more;
            (used <= self.budget.limit).then_some(used)
        };
        let has_room = more == 0
            || self
                .budget
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
                .is_ok();
        if has_room {
            self.charged += more;
        }
        has_room
    }

    fn release(&mut self) {
        self.budget.used.fetch_sub(self.charged, Ordering::Relaxed);
        self.charged = 0;
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_always_have_room_and_large_ones_only_within_the_budget() {
        let budget = Budget::new(3 * CHARGE_STEP);
        let mut all: Vec<_> = (0..10).map(|_| budget.for_connection()).collect();
        assert!(all.iter_mut().all(|held| held.add(FREE_BYTES)));
        let fit = all.iter_mut().filter_map(|held| held.add(1).then_some(()));
        assert_eq!(fit.count(), 3);
        all[0].reduce_to(0);
        assert!(all[5].add(1), "released bytes can be charged again");
        assert!(!all[6].add(1));
        drop(all);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_connection_is_charged_at_most_what_actix_holds_for_it() {
        let budget = Budget::new(1 << 20);
        let mut held = budget.for_connection();
        assert!((0..1_000).all(|_| held.add(100_000)));
        assert_eq!(
            budget.used.load(Ordering::Relaxed),
            CHARGED_MAX - FREE_BYTES
        );
    }
}
