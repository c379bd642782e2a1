//! A stream that fails when a request or a response on it makes no progress.
//!
//! actix limits the time of a connection's first request head. It would wait without limit for a later head, and for a client
//! that does not read its responses.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use metrics::counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    buffered::HeldBytes,
    drain::ConnectionRequests,
    farewell::{LingeringClose, TurnedAway},
    framing::Framing,
    seats::Seat,
};
use crate::telemetry::metric;

/// During the shutdown: time for the first request of a connection that has sent nothing yet. Its client has probably just
/// connected, and the request is on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// A stream that fails with `TimedOut` at a deadline, limits the sizes of requests, and passes what it reads through [`Framing`].
///
/// The deadline depends on the last event ([`Step`]): after bytes of a response the client must send its next request, after
/// bytes of a request the server must respond, and while a write is blocked the client must read.
pub(super) struct StallTimeout<S> {
    stream: S,
    framing: Framing,
    /// Bytes of requests that have been read and may not have been answered yet.
    held: HeldBytes,
    /// Set when the server stops reading: how the connection is closed.
    refusal: Option<LingeringClose>,
    /// Time from the first bytes of a request to the first of its response, and time in which a blocked client must read.
    stall: Duration,
    /// Time from a response to the next request. Longer than the keep-alive timeout, so that actix closes idle connections first.
    idle: Duration,
    last: Step,
    deadline: Instant,
    /// May be set to an earlier time than `deadline`: a reset at each event costs more than a check when the timer fires.
    timer: Pin<Box<Sleep>>,
    requests: ConnectionRequests,
    idle_close: IdleClose,
    seat: Option<Seat>,
}

/// Whether the connection is closed when it is idle, which starts with the shutdown.
enum IdleClose {
    NotYet(Pin<Box<WaitForCancellationFutureOwned>>),
    Begun,
}

/// The last event on the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No byte has been read or written.
    Connected,
    /// Bytes were read. Further reads do not extend the deadline; otherwise a client could send a request byte by byte.
    Read,
    Written,
    /// A write is pending because the client does not read.
    Blocked,
}

impl<S> StallTimeout<S> {
    /// `keep_alive` is the time after which actix closes an idle connection. Once `close_idle` is cancelled, the stream reports
    /// its end as soon as it is idle.
    pub(super) fn new(
        stream: S,
        stall: Duration,
        keep_alive: Duration,
        close_idle: CancellationToken,
        held: HeldBytes,
    ) -> Self {
        let idle = keep_alive.saturating_add(stall);
        let deadline = Instant::now() + idle;
        Self {
            stream,
            framing: Framing::new(),
            held,
            refusal: None,
            stall,
            idle,
            last: Step::Connected,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            requests: ConnectionRequests::default(),
            idle_close: IdleClose::NotYet(Box::pin(close_idle.cancelled_owned())),
            seat: None,
        }
    }

    /// Adds the permit of the connection for the limit that it counts against, so that the permit is held until the stream is
    /// dropped.
    pub(super) fn with_seat(self, seat: Seat) -> Self {
        Self {
            seat: Some(seat),
            ..self
        }
    }

    pub(super) fn seat(&self) -> Option<Seat> {
        self.seat.clone()
    }

    /// The counts of this connection's requests, which the middleware maintains.
    pub(super) fn requests(&self) -> ConnectionRequests {
        self.requests.clone()
    }

    fn step(&mut self, step: Step) {
        if step == Step::Written {
            self.deadline = Instant::now() + self.idle;
        } else if step != self.last {
            self.deadline = Instant::now() + self.stall;
        }
        self.last = step;
    }

    /// Ready with `TimedOut` once the deadline has passed. Otherwise the task is woken at the deadline.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            // Only a polled timer wakes the task. An earlier time than the deadline is harmless, a later one would be too late.
            if self.timer.deadline() > self.deadline {
                self.timer.as_mut().reset(self.deadline);
            }
            ready!(self.timer.as_mut().poll(context));
            if Instant::now() >= self.deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }

    /// Ready when the connection must be closed: the server shuts down, and no request is under way. Called only if nothing can
    /// be read, so that requests that have arrived are served first.
    fn poll_idle_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let IdleClose::NotYet(close_idle) = &mut self.idle_close {
            ready!(close_idle.as_mut().poll(context));
            self.idle_close = IdleClose::Begun;
            if self.last == Step::Connected {
                self.deadline = self.deadline.min(Instant::now() + FIRST_REQUEST);
            }
        }
        match self.last {
            Step::Written if self.requests.is_empty() => Poll::Ready(()),
            // A request or a response is incomplete: the end of the response closes the connection.
            // If the client has sent nothing, the deadline ends the connection.
            Step::Read | Step::Blocked | Step::Written | Step::Connected => Poll::Pending,
        }
    }

    /// The reason to refuse the bytes that have just been read; `None` if they are passed on.
    fn refusal_reason(&mut self, bytes: usize) -> Option<TurnedAway> {
        if self.framing.is_too_large() {
            Some(TurnedAway::HeadTooLarge)
        } else if self.held.add(bytes) {
            None
        } else {
            Some(TurnedAway::BuffersFull)
        }
    }

    /// Stops reading. The reason is sent as a response, unless the application responds to the current request.
    fn turn_away(&mut self, why: TurnedAway) {
        counter!(metric::HTTP_TURNED_AWAY, "reason" => why.reason()).increment(1);
        // The head of the current request is incomplete or too large, or the request has not reached the application.
        let is_unanswered = self.framing.is_too_large()
            || self.framing.head_len() > 0
            || self.framing.heads() > self.requests.begun();
        if why == TurnedAway::BuffersFull {
            self.requests.cut_off();
        }
        self.held.reduce_to(0);
        self.refusal = Some(LingeringClose::new(is_unanswered.then(|| why.answer())));
    }

    /// Records the result of a write. A pending write fails at the deadline.
    fn record_write<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Pending => {
                self.step(Step::Blocked);
                self.poll_deadline(context).map(Err)
            }
            outcome @ Poll::Ready(_) => {
                self.step(Step::Written);
                // All requests that were read are answered, so their bytes are freed. This does not hold while a request is
                // under way: the written bytes then belong to an earlier response, or ask for the request's body.
                if self.requests.is_empty() && self.framing.heads() == self.requests.begun() {
                    self.held.reduce_to(self.framing.head_len());
                }
                outcome
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallTimeout<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if outcome.is_pending() {
            if this.poll_idle_end(context).is_ready() {
                // Reported as the end of the stream, as if the client had closed it.
                return Poll::Ready(Ok(()));
            }
            return this.poll_deadline(context).map(Err);
        }
        let is_end = matches!(outcome, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
        if is_end && this.seat.as_ref().is_some_and(Seat::is_listener) {
            // actix would notice it when it writes next, and the place would be taken until then.
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(read) = buffer.filled_mut().get_mut(before..) {
            this.framing.apply(read);
            let bytes = read.len();
            if let Some(why) = this.refusal_reason(bytes) {
                // Reported as the end of the stream. Earlier requests are still answered; then `poll_shutdown` sends the reason.
                buffer.set_filled(before);
                this.turn_away(why);
                return Poll::Ready(Ok(()));
            }
        }
        // A client that sends more while it does not read its responses gets no more time.
        if this.last != Step::Blocked {
            this.step(Step::Read);
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StallTimeout<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.record_write(outcome, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut stream = Pin::new(&mut this.stream);
        match &mut this.refusal {
            Some(refusal) => refusal.poll(stream, context),
            None => stream.as_mut().poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.record_write(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{sleep, timeout},
    };

    use super::{super::buffered::Budget, *};

    const STALL: Duration = Duration::from_millis(600);
    const LONG: Duration = Duration::from_mins(1);
    const BUDGET: usize = 16 * 1024;

    /// The server's end and the client's. `buffer` bytes can be written before the client must read.
    fn connection(
        buffer: usize,
        keep_alive: Duration,
    ) -> (StallTimeout<DuplexStream>, DuplexStream) {
        let (ours, client) = duplex(buffer);
        let close_idle = CancellationToken::new();
        let held = Budget::new(BUDGET).for_connection();
        let ours = StallTimeout::new(ours, STALL, keep_alive, close_idle, held);
        (ours, client)
    }

    /// The time until `work` fails with `TimedOut`.
    async fn time_until_timeout<T>(work: impl Future<Output = io::Result<T>>) -> Duration {
        let begun = Instant::now();
        let done = timeout(LONG / 2, work).await.expect("the stream times out");
        assert_eq!(done.err().unwrap().kind(), io::ErrorKind::TimedOut);
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_request_that_arrives_byte_by_byte_times_out() {
        let (mut ours, mut client) = connection(1_000, LONG);
        ours.write_all(b"an answer").await.unwrap();
        let drip = async {
            while client.write_all(b"x").await.is_ok() {
                sleep(STALL / 20).await;
            }
        };
        let mut request = [0; 1_000];
        tokio::select! {
            waited = time_until_timeout(ours.read_exact(&mut request)) => assert!(waited >= STALL),
            () = drip => panic!("the client stopped"),
        }
    }

    #[tokio::test]
    async fn an_idle_connection_times_out_only_after_the_keep_alive_of_actix() {
        let (mut ours, _client) = connection(1_000, STALL);
        assert!(time_until_timeout(ours.read_u8()).await >= STALL * 2);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_times_out() {
        let (mut ours, mut client) = connection(10, LONG);
        client.write_all(b"x").await.unwrap();
        ours.read_u8().await.unwrap();
        assert!(time_until_timeout(ours.write_all(&[0; 100])).await >= STALL);
    }

    #[tokio::test]
    async fn a_slow_client_that_makes_progress_does_not_time_out() {
        let (mut ours, mut client) = connection(10, LONG);
        let slow = async {
            for _ in 0..8 {
                sleep(STALL / 4).await;
                client.read_exact(&mut [0; 10]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[0; 80]), slow);
        written.unwrap();
        for _ in 0..4 {
            sleep(STALL / 4).await;
            client.write_all(b"x").await.unwrap();
            ours.read_u8().await.unwrap();
            sleep(STALL / 4).await;
            ours.write_all(b"x").await.unwrap();
            client.read_u8().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_body_stays_charged_until_its_request_is_answered_whatever_else_is_written() {
        for answered in [false, true] {
            let (mut ours, mut client) = connection(1_000, LONG);
            let head = "POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n";
            let request = format!("{head}{}", "x".repeat(50_000));
            let serve = async {
                ours.read_exact(&mut [0; 12_000]).await.unwrap();
                let request = ours.requests().begin();
                let under_way = (!answered).then_some(request);
                ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut rest = Vec::new();
                ours.read_to_end(&mut rest).await.unwrap();
                assert!(ours.requests().is_cut_off());
                drop((ours, under_way));
                12_000 + rest.len()
            };
            // The write fails once the server's end is dropped.
            let (passed_on, _) = tokio::join!(serve, client.write_all(request.as_bytes()));
            let is_bounded = passed_on <= 8 * 1024 + BUDGET;
            assert_eq!(is_bounded, !answered, "{passed_on}");
        }
    }

    /// The response to an earlier request may take longer than `LINGER`.
    #[tokio::test(start_paused = true)]
    async fn the_refusal_is_sent_however_long_the_earlier_response_took() {
        let (ours, mut client) = duplex(1_000);
        let held = Budget::new(0).for_connection();
        let mut ours = StallTimeout::new(ours, STALL, LONG, CancellationToken::new(), held);
        let serve = async {
            ours.read_to_end(&mut Vec::new()).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            ours.shutdown().await.unwrap();
            drop(ours);
        };
        let ask = async {
            let request = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(12_000));
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(serve, ask);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }

    /// The response to a client that sends `head`, and the number of bytes that were passed on.
    async fn response_to(head: &str) -> (String, usize) {
        let (mut ours, mut client) = connection(1_000, LONG);
        let serve = async {
            let mut read = Vec::new();
            ours.read_to_end(&mut read).await.unwrap();
            ours.shutdown().await.unwrap();
            drop(ours);
            read.len()
        };
        let ask = async {
            client.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (passed_on, answer) = timeout(LONG / 2, async { tokio::join!(serve, ask) })
            .await
            .expect("it ends");
        (answer, passed_on)
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_answered_and_no_more_of_it_is_passed_on() {
        let request = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(120_000));
        let (answer, passed_on) = response_to(&request).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(passed_on <= 16 * 1024, "{passed_on}");
    }

    #[tokio::test]
    async fn a_request_for_which_there_is_no_room_is_answered() {
        for end in ["", "\r\n\r\n"] {
            assert_refused_without_room(end).await;
        }
    }

    async fn assert_refused_without_room(end: &str) {
        let held = Budget::new(0).for_connection();
        let (ours, mut client) = duplex(1_000);
        let mut ours = StallTimeout::new(ours, STALL, LONG, CancellationToken::new(), held);
        let serve = async {
            let mut read = Vec::new();
            ours.read_to_end(&mut read).await.unwrap();
            ours.shutdown().await.unwrap();
            drop(ours);
            read.len()
        };
        let ask = async {
            let request = format!("GET / HTTP/1.1\r\nx: {}{end}", "y".repeat(12_000));
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (passed_on, answer) = tokio::join!(serve, ask);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(passed_on <= 8 * 1024, "{passed_on}");
    }
}
