//! State of the graceful shutdown that the handling of requests needs: whether draining has begun, and which requests of a
//! connection are under way.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether the process drains. Every response then closes its connection, and readiness answers 503. Clones share the flag.
#[derive(Clone, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of the requests of one connection that reached the application. Clones share them.
#[derive(Clone, Default)]
pub(super) struct ConnectionRequests(Rc<Counts>);

#[derive(Default)]
struct Counts {
    /// Requests that the application is handling.
    under_way: Cell<u32>,
    /// Requests that have reached the application since the connection was opened, finished ones included.
    begun: Cell<u64>,
    /// Whether the server stopped reading because the memory budget was exhausted.
    cut_off: Cell<bool>,
}

/// Guard of a request that the application is handling; dropping it ends the request's count.
pub(super) struct RequestGuard(ConnectionRequests);

impl ConnectionRequests {
    pub(super) fn begin(&self) -> RequestGuard {
        let Self(counts) = self;
        counts.under_way.set(counts.under_way.get() + 1);
        counts.begun.set(counts.begun.get() + 1);
        RequestGuard(self.clone())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.under_way.get() == 0
    }

    /// Number of requests since the connection was opened, finished ones included.
    pub(super) fn begun(&self) -> u64 {
        self.0.begun.get()
    }
}

impl ConnectionRequests {
    /// Records that the server reads no more because the memory budget is exhausted.
    pub(super) fn cut_off(&self) {
        self.0.cut_off.set(true);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.0.cut_off.get()
    }
}

impl RequestGuard {
    /// Whether the request's connection is cut off: [`ConnectionRequests::cut_off`].
    pub(super) fn is_cut_off(&self) -> bool {
        self.0.is_cut_off()
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let ConnectionRequests(counts) = &self.0;
        counts.under_way.set(counts.under_way.get() - 1);
    }
}
