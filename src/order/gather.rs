//! Gathering what arrives while a call is under way, so that it goes as one call: batches grow by what is waiting, and
//! nobody waits for a batch to fill by itself.

use std::future::Future;

use tokio::sync::mpsc;

use crate::lifecycle::Lifecycle;

/// The entrance of a gathering task.
pub(super) struct Gather<T> {
    queue: mpsc::Sender<T>,
}

impl<T> Clone for Gather<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

/// How much a gathering task holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Waiting items at most.
    pub(super) waiting: usize,
    /// Items of one batch at most.
    pub(super) batch: usize,
}

impl<T: Send + 'static> Gather<T> {
    /// Starts a task that handles batches one after the other. It ends when the process is to end and every entrance is
    /// gone, so that what was let in is handled to the end.
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
        lifecycle.spawn(name, async move {
            loop {
                let mut batch = Vec::new();
                if waiting.recv_many(&mut batch, limits.batch).await == 0 {
                    break;
                }
                handle(batch).await;
            }
        });
        Self { queue }
    }

    /// Lets an item in, or gives it back when too many are waiting.
    pub(super) fn offer(&self, item: T) -> Result<(), T> {
        self.queue.try_send(item).map_err(|full| match full {
            mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item) => item,
        })
    }

    /// Lets an item in, waiting for room; gives it back when the task is gone.
    pub(super) async fn put(&self, item: T) -> Result<(), T> {
        self.queue.send(item).await.map_err(|closed| closed.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_arrives_while_a_batch_is_under_way_goes_as_one() {
        let lifecycle = Lifecycle::default();
        let (gate, sizes) = (
            Arc::new(Semaphore::new(0)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let (inner_gate, inner_sizes) = (Arc::clone(&gate), Arc::clone(&sizes));
        let gather = Gather::spawn(
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
        gather.offer(0).unwrap();
        while sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        for item in 1..=10 {
            gather.offer(item).unwrap();
        }
        assert_eq!(gather.offer(11), Err(11), "an eleventh may not wait");
        gate.add_permits(3);
        lifecycle.stop().cancel();
        drop(gather);
        lifecycle
            .run(std::time::Duration::ZERO, std::time::Duration::from_secs(5))
            .await
            .unwrap();
        assert_eq!(*sizes.lock().unwrap(), [1, 6, 4]);
    }
}
