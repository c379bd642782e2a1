//! Makes a load: threads with connections, each of which sends the requests that the schedule hands out.

use std::{
    cell::RefCell,
    io,
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};

use super::{
    answer::Answer,
    connection::Connection,
    no_answer::NoAnswer,
    request::Request,
    schedule::{Plan, Schedule, counts_from},
    stats::Stats,
    target::Target,
};

/// Number of connections that a thread opens at the same time. More would overflow the server's queue of new connections.
const CONNECTING_AT_ONCE: usize = 64;

/// The settings of a load.
#[derive(Clone)]
pub struct Load<'a> {
    pub target: &'a Target,
    /// Number of connections. They are opened before the clock starts, and kept open.
    pub connections: usize,
    /// Number of threads, which share the connections. One thread suffices for some tens of thousands of requests a second.
    pub threads: usize,
    /// Longest time of one request.
    pub timeout: Duration,
    pub plan: Plan,
}

impl Load<'_> {
    /// Makes the load and waits for its end; a plan without requests and duration has no end. `request` makes the request with a
    /// given number, and `answered` gets its outcome. Both are called by all threads, and should be quick.
    ///
    /// Blocks the calling thread. Fails only if the runtime of a thread cannot be started.
    pub fn run(
        &self,
        request: impl Fn(u64) -> Request + Sync,
        answered: impl Fn(u64, Result<&Answer, NoAnswer>) + Sync,
    ) -> io::Result<Stats> {
        let connections = self.connections.max(1);
        let threads = self.threads.clamp(1, connections);
        let (ready, schedule) = (Barrier::new(threads), OnceLock::new());
        let begun = AtomicU64::new(0);
        // All runtimes are made before any thread waits for the others: if one cannot be made, no thread waits in vain.
        let runtimes: Vec<_> = (0..threads)
            .map(|_| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
            })
            .collect::<io::Result<_>>()?;
        let mut stats = std::thread::scope(|scope| {
            let (ready, schedule, begun) = (&ready, &schedule, &begun);
            let (request, answered) = (&request, &answered);
            let threads: Vec<_> = runtimes
                .into_iter()
                .enumerate()
                .map(|(thread, runtime)| {
                    let share = connections / threads + usize::from(thread < connections % threads);
                    scope.spawn(move || {
                        let mut open = runtime.block_on(self.connect(share));
                        ready.wait();
                        let new = || Schedule::new(self.plan, Instant::now());
                        let task = Task {
                            schedule: schedule.get_or_init(new),
                            begun,
                            stats: RefCell::default(),
                            request,
                            answered,
                        };
                        let before = cpu();
                        let all: FuturesUnordered<_> =
                            open.iter_mut().map(|one| task.drive(one)).collect();
                        // The connections take turns without tokio's budget, which would only make the task wake itself.
                        runtime.block_on(tokio::task::unconstrained(all.collect::<()>()));
                        let mut stats = task.stats.into_inner();
                        stats.cpu = cpu()
                            .zip(before)
                            .map(|(after, before)| after.saturating_sub(before));
                        stats
                    })
                })
                .collect();
            let mut stats = Stats::default();
            for thread in threads {
                match thread.join() {
                    Ok(of_thread) => stats.merge(&of_thread),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            stats
        });
        if let Some(schedule) = schedule.get() {
            stats.unsent = schedule.unsent(begun.load(Ordering::Relaxed));
        }
        Ok(stats)
    }

    /// Opens `count` connections. One that cannot be opened is tried again with its first request.
    async fn connect(&self, count: usize) -> Vec<Connection<'_>> {
        let connections = (0..count).map(|_| async {
            let mut connection = Connection::new(self.target, self.timeout);
            let _ = connection.connect().await;
            connection
        });
        futures::stream::iter(connections)
            .buffer_unordered(CONNECTING_AT_ONCE)
            .collect()
            .await
    }
}

/// What the connections of a thread share.
struct Task<'a, R, A> {
    schedule: &'a Schedule,
    begun: &'a AtomicU64,
    stats: RefCell<Stats>,
    request: &'a R,
    answered: &'a A,
}

impl<R, A> Task<'_, R, A>
where
    R: Fn(u64) -> Request,
    A: Fn(u64, Result<&Answer, NoAnswer>),
{
    /// Sends requests over a connection until the schedule hands out no more.
    async fn drive(&self, connection: &mut Connection<'_>) {
        let mut now = Instant::now();
        while let Some(number) = self.schedule.take(now) {
            let request = (self.request)(number);
            let Some(since) = self.wait_for(number, now).await else {
                break;
            };
            self.begun.fetch_add(1, Ordering::Relaxed);
            let outcome = connection.ask(&request).await;
            now = Instant::now();
            let outcome = outcome.as_ref().map_err(|cause| *cause);
            (self.answered)(number, outcome);
            let status = outcome.map(|answer| answer.status);
            let (took, at) = (now.duration_since(since), self.schedule.since_start(now));
            self.stats.borrow_mut().record(status, took, at);
        }
    }

    /// Waits until a request is due. Returns the time from which its latency counts; `None` if the load ends before that.
    async fn wait_for(&self, number: u64, now: Instant) -> Option<Instant> {
        let Some(due) = self.schedule.due(number) else {
            return Some(Instant::now());
        };
        let was_free = now < due;
        let mut awake = now;
        if was_free {
            if self.schedule.is_over(due) {
                return None;
            }
            tokio::time::sleep_until(due.into()).await;
            awake = Instant::now();
        }
        let since = counts_from(due, was_free, awake);
        if was_free && since == due && awake > due {
            self.stats.borrow_mut().late += 1;
        }
        Some(since)
    }
}

/// Processor time of this thread so far. The first number of the file is this time in nanoseconds (kernel: sched-stats).
fn cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::Mutex,
        thread,
    };

    use super::*;

    /// A server that answers every connection; the answer to its first request is held back for so long.
    fn server(stall: Duration) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut request = [0; 1024];
                    let mut first = number == 0;
                    while stream.read(&mut request).is_ok_and(|read| read > 0) {
                        if first {
                            thread::sleep(stall);
                            first = false;
                        }
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if stream.write_all(answer).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Target::new(&url).unwrap()
    }

    fn load(target: &Target, connections: usize, plan: Plan) -> Load<'_> {
        Load {
            target,
            connections,
            threads: 1,
            timeout: Duration::from_secs(10),
            plan,
        }
    }

    fn health(target: &Target) -> Request {
        target.get("/health").unwrap()
    }

    #[test]
    fn every_request_is_asked_once_whatever_the_threads() {
        let target = server(Duration::ZERO);
        let plan = Plan {
            requests: Some(200),
            ..Plan::default()
        };
        let mut load = load(&target, 5, plan);
        load.threads = 2;
        let numbers = Mutex::new(Vec::new());
        let stats = load
            .run(
                |_| health(&target),
                |number, answer| {
                    assert_eq!(answer.unwrap().body, "ok");
                    numbers.lock().unwrap().push(number);
                },
            )
            .unwrap();
        let mut numbers = numbers.into_inner().unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        assert_eq!((stats.answers(), stats.unanswered()), (200, 0));
        assert!(stats.cpu.is_none_or(|cpu| cpu > Duration::ZERO));
    }

    #[test]
    fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
        let stall = Duration::from_millis(500);
        let target = server(stall);
        let plan = Plan {
            requests: Some(100),
            duration: None,
            rate: Some(100.0),
        };
        let run = |plan| {
            load(&target, 1, plan)
                .run(|_| health(&target), |_, _| {})
                .unwrap()
        };
        let stats = run(plan);
        // The requests of half a second were due during the stall. Each of them waited for the rest of the stall.
        let waited = |at_least_ms: u64| {
            let us = at_least_ms * 1_000;
            stats.latency.count_between(us, u64::MAX)
        };
        assert!(waited(400) >= 10, "{}", waited(400));
        assert!(waited(250) >= 25, "{}", waited(250));
        assert!(waited(100) >= 40, "{}", waited(100));
        assert!(stats.elapsed >= Duration::from_millis(990), "at its pace");
        assert_eq!(stats.unsent, 0);
    }

    #[test]
    fn what_no_connection_was_free_for_is_said() {
        let target = server(Duration::from_millis(600));
        let plan = Plan {
            requests: None,
            duration: Some(Duration::from_millis(500)),
            rate: Some(100.0),
        };
        let stats = load(&target, 1, plan)
            .run(|_| health(&target), |_, _| {})
            .unwrap();
        assert_eq!((stats.answers(), stats.unsent), (1, 49));
    }
}
