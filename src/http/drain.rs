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

    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The number of requests of one connection that are being answered.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Rc<Cell<u32>>);

/// A request that is being answered.
pub(super) struct OneUnderWay(UnderWay);

impl UnderWay {
    pub(super) fn begin(&self) -> OneUnderWay {
        self.0.set(self.0.get() + 1);
        OneUnderWay(self.clone())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.get() == 0
    }
}

impl Drop for OneUnderWay {
    fn drop(&mut self) {
        let UnderWay(count) = &self.0;
        count.set(count.get() - 1);
    }
}
