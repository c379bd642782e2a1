//! A waker that leaves out the wakes that a task causes itself while it is being polled.
//!
//! hyper passes requests and answers between two halves through channels, each of which wakes the task of the other half.
//! Here both halves are one task, which polls them in turn. Such a wake would make the runtime poll the task again for nothing,
//! and a single-threaded runtime asks the kernel for events between two polls.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

const IDLE: u8 = 0;
const POLLING: u8 = 1;
/// True if a wake came while the task was polling.
const WOKEN: u8 = 2;

/// The waker with which both halves of a connection are polled.
pub(super) struct OwnWakes {
    shared: Arc<Shared>,
    waker: Waker,
}

struct Shared {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl OwnWakes {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(IDLE),
            task: Mutex::new(Waker::noop().clone()),
        });
        let waker = Arc::clone(&shared).into();
        Self { shared, waker }
    }

    /// Calls `act` and leaves out the wakes that it causes. A poll must follow.
    pub(super) fn without<T>(&self, act: impl FnOnce() -> T) -> T {
        self.shared.state.store(POLLING, Ordering::Release);
        let result = act();
        self.shared.state.store(IDLE, Ordering::Release);
        result
    }

    /// Polls once. A wake that comes during the poll, from this task or from another thread, is passed on if the poll is pending.
    pub(super) fn poll<T>(
        &self,
        task: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(task.waker());
        self.shared.state.store(POLLING, Ordering::Release);
        let result = poll(&mut Context::from_waker(&self.waker));
        let state = self.shared.state.swap(IDLE, Ordering::AcqRel);
        if state == WOKEN && result.is_pending() {
            task.waker().wake_by_ref();
        }
        result
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken =
            self.state
                .compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if woken == Err(IDLE) {
            self.task
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_wakes_that_a_poll_does_not_answer_itself_reach_the_task() {
        let count = Arc::new(Count::default());
        let (task, wakes) = (Waker::from(Arc::clone(&count)), OwnWakes::new());
        let context = Context::from_waker(&task);
        let woken = || count.0.swap(0, Ordering::Relaxed);

        let ready = wakes.poll(&context, |context| {
            context.waker().wake_by_ref();
            Poll::Ready(())
        });
        assert_eq!((ready, woken()), (Poll::Ready(()), 0));

        let pending: Poll<()> = wakes.poll(&context, |context| {
            context.waker().wake_by_ref();
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((pending, woken()), (Poll::Pending, 1), "nothing is lost");

        wakes.without(|| wakes.waker.wake_by_ref());
        assert_eq!(woken(), 0);
        wakes.waker.wake_by_ref();
        assert_eq!(woken(), 1, "between two polls");
    }
}
