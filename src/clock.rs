//! Time, and ids that carry it, as a dependency, so that tests and simulations own both.

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, to the millisecond: finer parts would be lost on the way through the log and could not be compared.
    fn now(&self) -> DateTime<Utc>;

    /// A new id, ordered by time (version 7); never the same twice.
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}
