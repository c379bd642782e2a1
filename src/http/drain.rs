//! What is known of the process's end where requests are answered: that it has begun, and what is under way on a connection.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether the process is on its way to its end: every answer then closes its connection, and readiness is 503.
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

/// The requests of one connection that came to be answered.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Rc<Requests>);

#[derive(Default)]
struct Requests {
    now: Cell<u32>,
    /// Since the connection was made.
    begun: Cell<u64>,
    /// Whether there was no room for more of what they bring.
    cut_off: Cell<bool>,
}

/// A request that is being answered.
pub(super) struct OneUnderWay(UnderWay);

impl UnderWay {
    pub(super) fn begin(&self) -> OneUnderWay {
        let Self(requests) = self;
        requests.now.set(requests.now.get() + 1);
        requests.begun.set(requests.begun.get() + 1);
        OneUnderWay(self.clone())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.now.get() == 0
    }

    /// How many there were, those that are answered included.
    pub(super) fn begun(&self) -> u64 {
        self.0.begun.get()
    }
}

impl UnderWay {
    /// Notes that no more is read for want of room.
    pub(super) fn cut_off(&self) {
        self.0.cut_off.set(true);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.0.cut_off.get()
    }
}

impl Drop for OneUnderWay {
    fn drop(&mut self) {
        let UnderWay(requests) = &self.0;
        requests.now.set(requests.now.get() - 1);
    }
}
