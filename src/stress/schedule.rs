//! Decides which request is next and when it is due. In the open model, these times are fixed before the load begins, whatever the
//! server does. So a stall of the server does not hold back the requests that would have met it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How much later than asked for tokio wakes an idle task at most: its timer and the kernel's poll each round up to a millisecond.
pub(super) const WAKE_UP: Duration = Duration::from_millis(2);

/// When to stop asking, and how fast to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// Number of requests in all; `None`: no end.
    pub requests: Option<u64>,
    /// Time after which no request is begun any more; `None`: no end.
    pub duration: Option<Duration>,
    /// Requests per second, whatever the answers do (the open model). `None`: a request is sent after the answer to the one before
    /// it (the closed model).
    pub rate: Option<f64>,
}

/// A plan under way. Requests are numbered from 0 and handed out in that order.
#[derive(Debug)]
pub(super) struct Schedule {
    plan: Plan,
    start: Instant,
    next: AtomicU64,
}

impl Schedule {
    pub(super) fn new(plan: Plan, start: Instant) -> Self {
        let next = AtomicU64::new(0);
        Self { plan, start, next }
    }

    /// The number of the next request, for a connection that is free. `None` if there are no more requests.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        if self.is_over(now) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.plan
            .requests
            .is_none_or(|requests| number < requests)
            .then_some(number)
    }

    /// When a request is due. `None` in the closed model, in which it is due as soon as a connection is free.
    pub(super) fn due(&self, number: u64) -> Option<Instant> {
        self.plan.rate.map(|rate| self.start + after(number, rate))
    }

    pub(super) fn since_start(&self, now: Instant) -> Duration {
        now.duration_since(self.start)
    }

    /// True once no more request may be begun.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.plan
            .duration
            .is_some_and(|duration| now.duration_since(self.start) >= duration)
    }

    /// Number of requests that were due before the end, and for which no connection was free.
    pub(super) fn unsent(&self, begun: u64) -> u64 {
        let (Some(rate), Some(duration)) = (self.plan.rate, self.plan.duration) else {
            return 0;
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // a count, rounded up because the first request is due at 0
        let due = (duration.as_secs_f64() * rate).ceil() as u64;
        let due = self.plan.requests.map_or(due, |requests| requests.min(due));
        due.saturating_sub(begun)
    }
}

/// The time from which a request's latency counts. `was_free`: its connection was free when the request was due. `awake`: when the
/// task that sends the request was awake.
///
/// A latency counts from `due`, as the server is responsible for the time since then. The exception is a delay that the rounding
/// of timers on this machine explains: the latency then counts from `awake`, when the request is sent.
pub(super) fn counts_from(due: Instant, was_free: bool, awake: Instant) -> Instant {
    if was_free && awake.saturating_duration_since(due) <= WAKE_UP {
        awake
    } else {
        due
    }
}

fn after(number: u64, rate: f64) -> Duration {
    #[allow(clippy::cast_precision_loss)] // exact up to 2^53 requests
    let secs = number as f64 / rate;
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(plan: Plan) -> (Schedule, Instant) {
        let start = Instant::now();
        (Schedule::new(plan, start), start)
    }

    #[test]
    fn the_open_model_fixes_beforehand_when_each_is_due() {
        let (schedule, start) = schedule(Plan {
            rate: Some(1_000.0),
            ..Plan::default()
        });
        for number in [0, 1, 500, 86_400_000] {
            let due = schedule.due(number).unwrap() - start;
            assert_eq!(due, Duration::from_millis(number));
        }
    }

    #[test]
    fn it_ends_by_count_or_by_time() {
        let (schedule, start) = schedule(Plan {
            requests: Some(3),
            duration: Some(Duration::from_secs(1)),
            rate: None,
        });
        let late = start + Duration::from_secs(1);
        assert_eq!(schedule.take(late), None);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(start)).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(schedule.due(0), None, "closed");
    }

    #[test]
    fn a_request_counts_from_when_it_was_due_unless_only_the_timer_was_late() {
        let due = Instant::now();
        let in_time = due + Duration::from_millis(1);
        assert_eq!(counts_from(due, true, in_time), in_time);
        assert_eq!(counts_from(due, false, in_time), due);
        assert_eq!(counts_from(due, true, due + Duration::from_millis(50)), due);
    }

    #[test]
    fn what_nobody_was_free_to_begin_is_counted() {
        let plan = Plan {
            requests: None,
            duration: Some(Duration::from_secs(2)),
            rate: Some(100.0),
        };
        assert_eq!(schedule(plan).0.unsent(150), 50);
        let requests = Some(180);
        assert_eq!(schedule(Plan { requests, ..plan }).0.unsent(150), 30);
        let rate = None;
        assert_eq!(schedule(Plan { rate, ..plan }).0.unsent(150), 0);
    }
}
