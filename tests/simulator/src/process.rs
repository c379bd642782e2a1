//! A simulated process that can be paused and killed. It affects the world only through simulated calls: pausing it blocks them, and
//! killing it makes them never return.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::lock::lock;

pub(super) struct Process {
    pub(super) name: String,
    state: Mutex<State>,
    /// `Notify` wakes tasks in the order in which they began to wait. `tokio::sync::watch` does not, and runs would not be reproducible.
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Dead,
}

impl Process {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            state: Mutex::new(State::Running),
            changed: Notify::new(),
        }
    }

    pub(super) fn kill(&self) {
        *lock(&self.state) = State::Dead;
        self.changed.notify_waiters();
    }

    pub(super) fn pause(&self) {
        self.change(State::Running, State::Paused);
    }

    pub(super) fn resume(&self) {
        self.change(State::Paused, State::Running);
    }

    pub(super) fn is_dead(&self) -> bool {
        *lock(&self.state) == State::Dead
    }

    /// Goes on as soon as the process does: never, once it is dead.
    pub(super) async fn running(&self) {
        self.reaches(State::Running).await;
    }

    /// Returns when the process is dead.
    pub(super) async fn death(&self) {
        self.reaches(State::Dead).await;
    }

    async fn reaches(&self, wanted: State) {
        loop {
            // Before the look: a change between the two is not missed.
            let changed = self.changed.notified();
            if *lock(&self.state) == wanted {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, from: State, to: State) {
        let mut state = lock(&self.state);
        if *state == from {
            *state = to;
            self.changed.notify_waiters();
        }
    }
}
