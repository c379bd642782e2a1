//! Simulated time: one virtual time for all, a clock of its own for every process, and ids that count.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{clock::Clock, ids::AttemptId};
use tokio::time::Instant;
use uuid::Uuid;

/// When every history begins, in seconds since 1970.
const BEGINNING_SECS: i64 = 1_800_000_000;

/// The clock of one machine.
pub(super) struct SimulatedClock {
    began: Instant,
    /// How far it is off, in milliseconds.
    skew: AtomicI64,
    ids: Arc<AtomicU64>,
    /// The last id that was asked for here.
    last: Mutex<Option<AttemptId>>,
}

impl SimulatedClock {
    /// All clocks of a history share its beginning and its ids.
    pub(super) fn new(began: Instant, ids: Arc<AtomicU64>) -> Self {
        Self {
            began,
            skew: AtomicI64::new(0),
            ids,
            last: Mutex::default(),
        }
    }

    /// From now on it is off by so much.
    pub(super) fn set_skew(&self, millis: i64) {
        self.skew.store(millis, Ordering::Relaxed);
    }

    /// The last id that was asked for since the last time of taking it.
    pub(super) fn take_last_id(&self) -> Option<AttemptId> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The time of the simulation, so many milliseconds after its beginning.
pub(super) fn at(millis: u64) -> DateTime<Utc> {
    let beginning = DateTime::from_timestamp(BEGINNING_SECS, 0).unwrap_or_default();
    beginning + TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(i64::MAX / 2))
}

impl Clock for SimulatedClock {
    fn now(&self) -> DateTime<Utc> {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        at(passed) + TimeDelta::milliseconds(self.skew.load(Ordering::Relaxed))
    }

    fn new_id(&self) -> Uuid {
        let id = Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) + 1);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(AttemptId(id));
        id
    }
}
