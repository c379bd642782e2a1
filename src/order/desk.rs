//! Where requests get their answers from the tasks that gather them.

use tokio::sync::{mpsc, oneshot};

/// The desk of one thread of requests: answers are handed over there, many with one wake-up of the thread. Without one,
/// each answer wakes the thread that waits for it, which costs a system call. `default()` is to do without.
#[derive(Clone, Default)]
pub struct Desk {
    /// As many as there are requests waiting, which are bounded.
    handed_over: Option<mpsc::UnboundedSender<Deliver>>,
}

type Deliver = Box<dyn FnOnce() + Send>;

/// Answers that are delivered at once.
const AT_ONCE: usize = 1_024;

impl Desk {
    /// A desk, and what delivers its answers: a task for the thread of the requests. It ends with the last request that
    /// could get an answer.
    pub fn open() -> (Self, impl Future<Output = ()>) {
        let (handed_over, mut waiting) = mpsc::unbounded_channel::<Deliver>();
        let deliveries = async move {
            let mut answers = Vec::new();
            while waiting.recv_many(&mut answers, AT_ONCE).await > 0 {
                answers.drain(..).for_each(|deliver| deliver());
            }
        };
        let desk = Self {
            handed_over: Some(handed_over),
        };
        (desk, deliveries)
    }

    /// A place for one answer, and what waits for it.
    pub(super) fn place<T>(&self) -> (Reply<T>, oneshot::Receiver<T>) {
        let (answer, answered) = oneshot::channel();
        let reply = Reply {
            desk: self.clone(),
            answer,
        };
        (reply, answered)
    }
}

/// One answer that somebody waits for.
pub(super) struct Reply<T> {
    desk: Desk,
    answer: oneshot::Sender<T>,
}

impl<T: Send + 'static> Reply<T> {
    /// Answers; whoever hung up does not need it.
    pub(super) fn send(self, answer: T) {
        let waiting = self.answer;
        let deliver = move || {
            let _ = waiting.send(answer);
        };
        match self.desk.handed_over {
            Some(desk) => {
                let _ = desk.send(Box::new(deliver));
            }
            None => deliver(),
        }
    }

    /// True if nobody waits any more.
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

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn without_a_desk_an_answer_arrives_at_once() {
        let (reply, mut answered) = Desk::default().place();
        reply.send(7);
        assert_eq!(answered.try_recv(), Ok(7));
        let (reply, answered) = Desk::default().place::<()>();
        assert!(!reply.is_closed());
        drop(answered);
        assert!(reply.is_closed());
    }

    #[tokio::test]
    async fn answers_of_another_thread_are_delivered_by_this_one() {
        let (desk, deliveries) = Desk::open();
        let count = Arc::new(Wakes::default());
        let waker = Arc::clone(&count).into();
        let mut context = Context::from_waker(&waker);
        let (replies, mut answered): (Vec<_>, Vec<_>) = (0..3).map(|_| desk.place()).unzip();
        for answered in &mut answered {
            assert!(std::pin::pin!(answered).poll(&mut context).is_pending());
        }
        let other = std::thread::spawn(move || {
            for (number, reply) in replies.into_iter().enumerate() {
                reply.send(number);
            }
        });
        other.join().unwrap();
        assert_eq!(
            count.0.load(Ordering::SeqCst),
            0,
            "nobody is woken by the other thread"
        );
        drop(desk);
        deliveries.await;
        assert_eq!(count.0.load(Ordering::SeqCst), 3);
        for (number, mut answered) in answered.into_iter().enumerate() {
            let answer = std::pin::pin!(&mut answered).poll(&mut context);
            assert_eq!(answer, Poll::Ready(Ok(number)));
        }
    }
}
