//! Delivers the answers of batching tasks to the threads whose requests wait for them.

use tokio::sync::{mpsc, oneshot};

/// The queue of answers for one request thread: one wake-up of the thread delivers many answers. `default()` has no queue: each
/// answer then wakes the waiting thread by itself, which costs a system call.
#[derive(Clone, Default)]
pub struct ReplyQueue {
    /// Unbounded as a channel, but it holds at most one answer for each waiting request, and their number is limited.
    queue: Option<mpsc::UnboundedSender<Deliver>>,
}

/// Sends one answer to its request.
type Deliver = Box<dyn FnOnce() + Send>;

/// Maximum number of answers that are taken from the queue at a time.
const AT_ONCE: usize = 1_024;

impl ReplyQueue {
    /// Returns a queue and the future that delivers its answers, to be run on the thread of the requests. The future ends when
    /// all clones of the queue and all its responders are dropped.
    pub fn open() -> (Self, impl Future<Output = ()>) {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Deliver>();
        let deliveries = async move {
            let mut answers = Vec::new();
            while waiting.recv_many(&mut answers, AT_ONCE).await > 0 {
                answers.drain(..).for_each(|deliver| deliver());
            }
        };
        let replies = Self { queue: Some(queue) };
        (replies, deliveries)
    }

    /// A [`Responder`] for one answer, and the receiver of that answer.
    pub(super) fn slot<T>(&self) -> (Responder<T>, oneshot::Receiver<T>) {
        let (answer, answered) = oneshot::channel();
        let responder = Responder {
            replies: self.clone(),
            answer,
        };
        (responder, answered)
    }
}

/// The handle that answers one waiting request.
pub(super) struct Responder<T> {
    replies: ReplyQueue,
    answer: oneshot::Sender<T>,
}

impl<T: Send + 'static> Responder<T> {
    /// Sends the answer. The answer is dropped if the request has ended.
    pub(super) fn send(self, answer: T) {
        let sender = self.answer;
        let deliver = move || {
            let _ = sender.send(answer);
        };
        match self.replies.queue {
            Some(queue) => {
                let _ = queue.send(Box::new(deliver));
            }
            None => deliver(),
        }
    }

    /// True if the request no longer waits for the answer.
    pub(super) fn is_closed(&self) -> bool {
        self.answer.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll, Wake},
    };

    use super::*;

    /// Counts wake-ups.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn without_a_queue_an_answer_arrives_at_once() {
        let (responder, mut answered) = ReplyQueue::default().slot();
        responder.send(7);
        assert_eq!(answered.try_recv(), Ok(7));
        let (responder, answered) = ReplyQueue::default().slot::<()>();
        assert!(!responder.is_closed());
        drop(answered);
        assert!(responder.is_closed());
    }

    #[tokio::test]
    async fn answers_of_another_thread_are_delivered_by_this_one() {
        let (replies, deliveries) = ReplyQueue::open();
        let count = Arc::new(Wakes::default());
        let waker = Arc::clone(&count).into();
        let mut context = Context::from_waker(&waker);
        let (responders, mut answered): (Vec<_>, Vec<_>) = (0..3).map(|_| replies.slot()).unzip();
        for answered in &mut answered {
            assert!(std::pin::pin!(answered).poll(&mut context).is_pending());
        }
        let other = std::thread::spawn(move || {
            for (number, responder) in responders.into_iter().enumerate() {
                responder.send(number);
            }
        });
        other.join().unwrap();
        assert_eq!(
            count.0.load(Ordering::SeqCst),
            0,
            "nobody is woken by the other thread"
        );
        drop(replies);
        deliveries.await;
        assert_eq!(count.0.load(Ordering::SeqCst), 3);
        for (number, mut answered) in answered.into_iter().enumerate() {
            let answer = std::pin::pin!(&mut answered).poll(&mut context);
            assert_eq!(answer, Poll::Ready(Ok(number)));
        }
    }
}
