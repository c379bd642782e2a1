//! How a process runs and ends: every background task is spawned here, so that shutdown waits for it and its death is
//! seen.

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
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
}

/// Why a process did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UncleanEnd {
    #[error("{0}")]
    TaskDied(String),
    #[error("some tasks did not end within {} s; they were cut off", .0.as_secs())]
    Deadline(Duration),
}

impl Lifecycle {
    /// Is cancelled when the process is to end.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
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
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = self.stop.clone();
        // Not tracked: it waits for a signal that may never come.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            for last in [false, true] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if last {
                    tracing::warn!(signal = name, "second signal: ending at once");
                    std::process::exit(130);
                }
                tracing::info!(signal = name, "stopping");
                stop.cancel();
            }
        });
        Ok(())
    }

    /// Waits for the end: until `stop` is cancelled, then at most `deadline` for the tasks.
    pub async fn run(self, deadline: Duration) -> Result<(), UncleanEnd> {
        self.stop.cancelled().await;
        self.tasks.close();
        let in_time = tokio::time::timeout(deadline, self.tasks.wait()).await;
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
        let end = lifecycle.run(Duration::from_secs(5)).await;
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
        let end = lifecycle.run(Duration::from_secs(5)).await;
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
            lifecycle.run(deadline).await,
            Err(UncleanEnd::Deadline(deadline))
        );
    }
}
