//! Limits how often a log line is written.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Limits a log line that would be written with every request while a server is down: the first is allowed, then one every 5 s.
pub struct LogThrottle {
    /// When the last line was allowed, in milliseconds since the first call; 0: never.
    last_ms: AtomicU64,
    /// Lines that were not allowed since then.
    suppressed: AtomicU64,
}

impl LogThrottle {
    /// Minimum time between two lines.
    const PAUSE: Duration = Duration::from_secs(5);

    #[must_use]
    pub const fn new() -> Self {
        Self {
            last_ms: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// True if the line may be written now; the next one then has to wait.
    pub fn allow(&self) -> bool {
        self.allow_counting().is_some()
    }

    /// Like [`allow`](Self::allow), with the number of lines that were suppressed since the last one.
    pub fn allow_counting(&self) -> Option<u64> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX) + 1;
        let last = self.last_ms.load(Ordering::Relaxed);
        let pause = u64::try_from(Self::PAUSE.as_millis()).unwrap_or(u64::MAX);
        let is_due = (last == 0 || now.saturating_sub(last) >= pause)
            && self
                .last_ms
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_at_once_only_the_first_is_allowed() {
        let throttle = LogThrottle::new();
        assert_eq!((0..1_000).filter(|_| throttle.allow()).count(), 1);
    }
}
