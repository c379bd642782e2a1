//! The tasks of a process and its shutdown. Every background task is spawned here, so that the shutdown waits for it, and the
//! death of a task is noticed.
//!
//! The API ends in two steps. First it drains: HTTP ends, and all other tasks continue. Then `stop` ends the other tasks.

use std::{
    any::Any,
    future::{Future, pending},
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process, and the tokens that stop them.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stop: CancellationToken,
    ending: Ending,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
}

/// Tokens for the tasks that must end before the others. They are cancelled with `stop` at the latest.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Cancelled when draining begins: the process is about to accept no more work.
    pub drain: CancellationToken,
    /// Cancelled if no load balancer needs time to notice that the process drains.
    pub no_delay: CancellationToken,
}

/// The effect of the first signal.
#[derive(Clone, Copy)]
enum FirstSignal {
    Stop,
    Drain,
}

/// Why a process ended with a failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UncleanEnd {
    #[error("{0}")]
    TaskDied(String),
    #[error("some tasks did not end within {} s; they were cut off", .0.as_secs())]
    Deadline(Duration),
}

/// Waits for SIGTERM or SIGINT as process 1 of a container, and returns the exit code that says so. The kernel spares process 1 signals
/// without a handler, so that a job could only be killed. Every other process ends by itself, and this waits for ever.
pub async fn signal_to_process_1() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};

    const TERMINATED: u8 = 128 + 15;
    const INTERRUPTED: u8 = 128 + 2;
    if std::process::id() != 1 {
        return pending().await;
    }
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => TERMINATED,
        _ = interrupt.recv() => INTERRUPTED,
    }
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
    /// The token that is cancelled when all tasks must end.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The tokens for draining, which begins before `stop` is cancelled or together with it.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Runs a task until the process ends. If the task panics, or returns before `stop` is cancelled, the whole process ends with
    /// a failure.
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
        self.on_signals(FirstSignal::Stop)
    }

    /// Begins to drain on SIGTERM and SIGINT; a second signal ends the process at once. The code that drains
    /// must cancel `stop` afterwards.
    ///
    /// SIGINT drains without delay: it comes from a keyboard, where no load balancer has to notice. Service managers and
    /// orchestrators send SIGTERM.
    pub fn drain_on_signals(&self) -> std::io::Result<()> {
        self.on_signals(FirstSignal::Drain)
    }

    fn on_signals(&self, first: FirstSignal) -> std::io::Result<()> {
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
                    FirstSignal::Stop => {
                        tracing::info!(signal = name, "stopping; a second signal ends at once");
                        stop.cancel();
                    }
                    FirstSignal::Drain => {
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

    /// Waits until draining begins, then for `delay` unless `no_delay` is cancelled, then for the end of draining and of all
    /// tasks, at most for `deadline`. So the process ends in time whatever its tasks wait for.
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
