//! Which request is next and when it is due. In the open model that is fixed beforehand, whatever the server does: so a
//! server that stalls does not keep the requests away that would have met the stall.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// So much later than asked tokio wakes an idle task: its timer and the kernel's poll each round up to a millisecond.
pub(super) const WAKE_UP: Duration = Duration::from_millis(2);

/// When to stop asking, and how fast to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// Requests in all; no end if `None`.
    pub requests: Option<u64>,
    /// None is begun any more after so long; no end if `None`.
    pub duration: Option<Duration>,
    /// Requests a second, whatever the answers do (the open model). Without it the next request follows on an answer (the
    /// closed model).
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

    /// The number of a request for whoever is free; `None` when there is no more.
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

    /// When a request is due; `None` in the closed model, where it is when somebody is free.
    pub(super) fn due(&self, number: u64) -> Option<Instant> {
        self.plan.rate.map(|rate| self.start + after(number, rate))
    }

    pub(super) fn since_start(&self, now: Instant) -> Duration {
        now.duration_since(self.start)
    }

    /// True once no request is to be begun.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.plan
            .duration
            .is_some_and(|duration| now.duration_since(self.start) >= duration)
    }

    /// Requests that were due before the end and that nobody was free to begin.
    pub(super) fn unsent(&self, begun: u64) -> u64 {
        let (Some(rate), Some(duration)) = (self.plan.rate, self.plan.duration) else {
            return 0;
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // a count, rounded up: the first is due at 0
        let due = (duration.as_secs_f64() * rate).ceil() as u64;
        let due = self.plan.requests.map_or(due, |requests| requests.min(due));
        due.saturating_sub(begun)
    }
}

/// From when on a request counts that was due, if whoever was to send it was free then (`was_free`) and awake at `awake`.
///
/// The server answers for all the time since it was due. Only what a timer rounds up is ours: then it counts from its
/// sending.
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
