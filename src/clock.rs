//! Time, and ids that contain it, as a dependency, so that tests and simulations can control both.

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The current time in whole milliseconds. The log does not keep finer parts, so times with them would differ after the log.
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
    #[allow(clippy::disallowed_methods)] // only this function may read the system's time
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}
