//! Collects the items that arrive while a call is under way, and handles them with the next call. Batches grow with the number of
//! waiting items; no item waits for a batch to fill.

use std::future::Future;

use metrics::histogram;
use tokio::sync::mpsc;

use crate::{
    lifecycle::Lifecycle,
    telemetry::{self, metric},
};

/// Submits items to a task that handles them in batches.
pub(super) struct Batcher<T> {
    queue: mpsc::Sender<T>,
}

impl<T> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

/// Limits of a batcher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Maximum number of items that wait.
    pub(super) waiting: usize,
    /// Maximum number of items of one batch.
    pub(super) batch: usize,
}

impl<T: Send + 'static> Batcher<T> {
    /// Starts a task that handles one batch after the other. The task ends when every clone of the [`Batcher`] is dropped and
    /// every submitted item is handled. The last clone must not be dropped before the process is to end: see
    /// [`Lifecycle::spawn`].
    pub(super) fn spawn<F>(
        lifecycle: &Lifecycle,
        name: &'static str,
        limits: Limits,
        handle: impl Fn(Vec<T>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let (queue, mut waiting) = mpsc::channel(limits.waiting);
        show_length(name, &queue);
        let sizes = histogram!(metric::BATCH_ITEMS, "queue" => name);
        lifecycle.spawn(name, async move {
            loop {
                let mut batch = Vec::new();
                if waiting.recv_many(&mut batch, limits.batch).await == 0 {
                    break;
                }
                #[allow(clippy::cast_precision_loss)] // at most `limits.batch`
                sizes.record(batch.len() as f64);
                handle(batch).await;
            }
        });
        Self { queue }
    }

    /// Submits an item. Returns the item if too many are waiting, or the task has ended.
    pub(super) fn try_submit(&self, item: T) -> Result<(), T> {
        self.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item) => item,
        })
    }

    /// Submits an item, once there is room for it. Returns the item if the task has ended.
    pub(super) async fn submit(&self, item: T) -> Result<(), T> {
        self.queue.send(item).await.map_err(|closed| closed.0)
    }
}

/// Shows how many items wait, and how many may. Does not keep the queue open.
#[allow(clippy::cast_precision_loss)] // thousands
fn show_length<T: Send + 'static>(name: &'static str, queue: &mpsc::Sender<T>) {
    let (length, limit) = (queue.downgrade(), queue.downgrade());
    telemetry::sample(metric::QUEUE_LENGTH, &[("queue", name)], move || {
        let queue = length.upgrade()?;
        Some((queue.max_capacity() - queue.capacity()) as f64)
    });
    telemetry::sample(metric::QUEUE_LIMIT, &[("queue", name)], move || {
        Some(limit.upgrade()?.max_capacity() as f64)
    });
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn items_that_arrive_while_a_batch_is_handled_become_one_batch() {
        let lifecycle = Lifecycle::default();
        let (gate, sizes) = (
            Arc::new(Semaphore::new(0)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let (inner_gate, inner_sizes) = (Arc::clone(&gate), Arc::clone(&sizes));
        let batcher = Batcher::spawn(
            &lifecycle,
            "test",
            Limits {
                waiting: 10,
                batch: 6,
            },
            move |batch: Vec<u32>| {
                inner_sizes.lock().unwrap().push(batch.len());
                let gate = Arc::clone(&inner_gate);
                async move { gate.acquire().await.unwrap().forget() }
            },
        );
        batcher.try_submit(0).unwrap();
        while sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        for item in 1..=10 {
            batcher.try_submit(item).unwrap();
        }
        assert_eq!(batcher.try_submit(11), Err(11), "an eleventh may not wait");
        gate.add_permits(3);
        lifecycle.stop().cancel();
        drop(batcher);
        lifecycle
            .run(std::time::Duration::ZERO, std::time::Duration::from_secs(5))
            .await
            .unwrap();
        assert_eq!(*sizes.lock().unwrap(), [1, 6, 4]);
    }
}
