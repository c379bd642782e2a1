//! How a process runs and ends: every background task is spawned here, so that shutdown waits for it and its death is
//! seen.
//!
//! An API ends in two steps. First it drains: HTTP ends while everything behind it goes on. Then `stop` ends the rest.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process and the wish to stop them.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stop: CancellationToken,
    ending: Ending,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
}

/// The beginning of the end, for what must end before the rest. Both are cancelled with `stop`, too.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The process is to take no more work.
    pub drain: CancellationToken,
    /// Nobody needs to be given time to notice.
    pub no_delay: CancellationToken,
}

/// What the first signal begins.
#[derive(Clone, Copy)]
enum First {
    Stop,
    Drain,
}

/// Why a process did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UncleanEnd {
    #[error("{0}")]
    TaskDied(String),
    #[error("some tasks did not end within {} s; they were cut off", .0.as_secs())]
    Deadline(Duration),
}

impl Default for Lifecycle {
    fn default() -> Self {
        let stop = CancellationToken::new();
        let ending = Ending {
            drain: stop.child_token(),
            no_delay: stop.child_token(),
        };
        Self {
            stop,
            ending,
            tasks: TaskTracker::default(),
            failure: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// Is cancelled when the process is to end.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Begins when the process is to end, at the latest.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Runs a task for as long as the process. If it ends before the process is to end, or panics, the whole process
    /// ends, and not well.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, failure) = (self.stop.clone(), Arc::clone(&self.failure));
        self.tasks.spawn(async move {
            let end = AssertUnwindSafe(task).catch_unwind().await;
            let cause = match end {
                Err(panic) => panic_text(panic.as_ref()),
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => "it ended by itself".to_owned(),
            };
            tracing::error!(task = name, cause, "a task died");
            let _ = failure.set(format!("the task {name} died: {cause}"));
            stop.cancel();
        });
    }

    /// Cancels `stop` on SIGTERM and SIGINT; a second signal ends the process at once.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        self.on_signals(First::Stop)
    }

    /// Begins to drain on SIGTERM and SIGINT; a second signal ends the process at once. Whoever drains cancels `stop` in
    /// the end.
    ///
    /// SIGINT drains without delay: it comes from a keyboard, where no load balancer has to notice. Service managers and
    /// orchestrators send SIGTERM.
    pub fn drain_on_signals(&self) -> std::io::Result<()> {
        self.on_signals(First::Drain)
    }

    fn on_signals(&self, first: First) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (stop, ending) = (self.stop.clone(), self.ending.clone());
        // Not tracked: it waits for a signal that may never come.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            for last in [false, true] {
                let signal = tokio::select! {
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = interrupt.recv() => SignalKind::interrupt(),
                };
                let is_term = signal == SignalKind::terminate();
                let name = if is_term { "SIGTERM" } else { "SIGINT" };
                if last {
                    tracing::warn!(signal = name, "second signal: ending at once");
                    std::process::exit(130);
                }
                match first {
                    First::Stop => {
                        tracing::info!(signal = name, "stopping; a second signal ends at once");
                        stop.cancel();
                    }
                    First::Drain => {
                        tracing::info!(signal = name, "draining; a second signal ends at once");
                        if !is_term {
                            ending.no_delay.cancel();
                        }
                        ending.drain.cancel();
                    }
                }
            }
        });
        Ok(())
    }

    /// Waits for the end: until it begins, for the delay of a drain, then at most `deadline` for everything, what drains
    /// included. So the process ends in time whatever its tasks wait for.
    pub async fn run(self, delay: Duration, deadline: Duration) -> Result<(), UncleanEnd> {
        self.ending.drain.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.ending.no_delay.cancelled() => {}
        }
        let end = async {
            self.stop.cancelled().await;
            self.tasks.close();
            self.tasks.wait().await;
        };
        let in_time = tokio::time::timeout(deadline, end).await;
        match self.failure.get() {
            Some(cause) => Err(UncleanEnd::TaskDied(cause.clone())),
            None if in_time.is_err() => Err(UncleanEnd::Deadline(deadline)),
            None => Ok(()),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_by_itself_takes_the_process_down() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("short", async {});
        let end = lifecycle.run(Duration::ZERO, Duration::from_secs(5)).await;
        assert_eq!(
            end,
            Err(UncleanEnd::TaskDied(
                "the task short died: it ended by itself".to_owned()
            ))
        );
    }

    #[tokio::test]
    async fn a_panic_takes_the_process_down() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("broken", async { panic!("boom") });
        let end = lifecycle.run(Duration::ZERO, Duration::from_secs(5)).await;
        assert_eq!(
            end,
            Err(UncleanEnd::TaskDied(
                "the task broken died: boom".to_owned()
            ))
        );
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_cut_off_at_the_deadline() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("stubborn", std::future::pending());
        lifecycle.stop().cancel();
        let deadline = Duration::from_millis(10);
        assert_eq!(
            lifecycle.run(Duration::ZERO, deadline).await,
            Err(UncleanEnd::Deadline(deadline))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_never_ends_is_cut_off_after_its_delay_and_the_deadline() {
        let lifecycle = Lifecycle::default();
        let ending = lifecycle.ending().clone();
        ending.drain.cancel();
        let (delay, deadline) = (Duration::from_secs(5), Duration::from_secs(15));
        let begun = tokio::time::Instant::now();
        assert_eq!(
            lifecycle.run(delay, deadline).await,
            Err(UncleanEnd::Deadline(deadline))
        );
        assert_eq!(begun.elapsed(), delay + deadline);
    }
}
