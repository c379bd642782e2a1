//! A connection that is given up when a request or an answer on it makes no headway.
//!
//! actix gives up a client that is slow with its first head. With a later one, or with reading its answers, a client could
//! take its time for ever.

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
    buffered::Held,
    drain::UnderWay,
    farewell::{Farewell, TurnedAway},
    framing::Framing,
};

/// At the end of the process: for the first request of a connection that has brought none yet. Its client connected a
/// moment ago, and the request is probably on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// A stream with a deadline and with limits to what is read, and without what this server does not take. Whoever made the last step, the other side is to make the next before it.
pub(super) struct StallTimeout<S> {
    stream: S,
    framing: Framing,
    /// Read, and not known to be answered.
    held: Held,
    /// Once no more is read: how the connection ends.
    farewell: Option<Farewell>,
    /// For an answer to follow its request, or to be taken.
    stall: Duration,
    /// For a request to follow an answer, and to be complete.
    idle: Duration,
    last: Step,
    deadline: Instant,
    /// Not always set anew with the deadline: that costs more than to look again when it is over.
    timer: Pin<Box<Sleep>>,
    under_way: UnderWay,
    closing: IdleClose,
}

/// Whether the connection is to be closed when it is idle.
enum IdleClose {
    NotYet(Pin<Box<WaitForCancellationFutureOwned>>),
    Begun,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing came or went yet.
    Connected,
    /// Bytes came in. More of them are no headway, or a request could come byte by byte.
    Read,
    Written,
    /// Bytes could not go out.
    Blocked,
}

impl<S> StallTimeout<S> {
    /// `keep_alive` is how long the server keeps an idle connection by itself; once `close_idle` is cancelled, none is kept.
    pub(super) fn new(
        stream: S,
        stall: Duration,
        keep_alive: Duration,
        close_idle: CancellationToken,
        held: Held,
    ) -> Self {
        let idle = keep_alive.saturating_add(stall);
        let deadline = Instant::now() + idle;
        Self {
            stream,
            framing: Framing::new(),
            held,
            farewell: None,
            stall,
            idle,
            last: Step::Connected,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            under_way: UnderWay::default(),
            closing: IdleClose::NotYet(Box::pin(close_idle.cancelled_owned())),
        }
    }

    /// Who answers requests counts them here.
    pub(super) fn under_way(&self) -> UnderWay {
        self.under_way.clone()
    }

    fn step(&mut self, step: Step) {
        if step == Step::Written {
            self.deadline = Instant::now() + self.idle;
        } else if step != self.last {
            self.deadline = Instant::now() + self.stall;
        }
        self.last = step;
    }

    /// Ready with an error once the deadline is over; else whoever is asked for is woken then.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            // It must be polled to wake us, and may still be set to an earlier deadline; a later one it cannot have.
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

    /// Ready when the connection is to be closed: the process ends, and no request is under way. Called when nothing can be
    /// read, so that no request that has arrived is left.
    fn poll_idle_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let IdleClose::NotYet(close_idle) = &mut self.closing {
            ready!(close_idle.as_mut().poll(context));
            self.closing = IdleClose::Begun;
            if self.last == Step::Connected {
                self.deadline = self.deadline.min(Instant::now() + FIRST_REQUEST);
            }
        }
        match self.last {
            Step::Written if self.under_way.is_none() => Poll::Ready(()),
            // Part of a request is there, or of an answer: its end closes the connection.
            // Without any, the deadline ends it.
            Step::Read | Step::Blocked | Step::Written | Step::Connected => Poll::Pending,
        }
    }

    /// Why what has just been read is not passed on, if it is not.
    fn too_much(&mut self, bytes: usize) -> Option<TurnedAway> {
        if self.framing.is_too_large() {
            Some(TurnedAway::HeadTooLarge)
        } else if self.held.add(bytes) {
            None
        } else {
            Some(TurnedAway::BuffersFull)
        }
    }

    fn turn_away(&mut self, why: TurnedAway) {
        counter!("flashsale_http_turned_away_total", "reason" => why.reason()).increment(1);
        // Of a request that nobody has begun to answer, or that is not whole yet.
        let is_unheard = self.framing.is_too_large()
            || self.framing.head_len() > 0
            || self.framing.heads() > self.under_way.begun();
        if why == TurnedAway::BuffersFull {
            self.under_way.cut_off();
        }
        self.held.reduce_to(0);
        self.farewell = Some(Farewell::new(is_unheard.then(|| why.answer())));
    }

    /// Keeps what a write came to in mind.
    fn written<T>(
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
                // Every request that was read is answered, and what it brought is gone with it. What is written while one is
                // under way belongs to an earlier one, or asks for its body.
                if self.under_way.is_none() && self.framing.heads() == self.under_way.begun() {
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
        if this.farewell.is_some() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if outcome.is_pending() {
            if this.poll_idle_end(context).is_ready() {
                // As if the client had closed it.
                return Poll::Ready(Ok(()));
            }
            return this.poll_deadline(context).map(Err);
        }
        if let Some(read) = buffer.filled_mut().get_mut(before..) {
            this.framing.apply(read);
            let bytes = read.len();
            if let Some(why) = this.too_much(bytes) {
                // As if the client had closed it. What was asked before is answered; then `poll_shutdown` says why.
                buffer.set_filled(before);
                this.turn_away(why);
                return Poll::Ready(Ok(()));
            }
        }
        // Who sends on while answers are not taken gains no time.
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
        this.written(outcome, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut stream = Pin::new(&mut this.stream);
        match &mut this.farewell {
            Some(farewell) => farewell.poll(stream, context),
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
        this.written(outcome, context)
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

    /// Our end, and the client's; so many bytes go out before the client must read.
    fn connection(
        buffer: usize,
        keep_alive: Duration,
    ) -> (StallTimeout<DuplexStream>, DuplexStream) {
        let (ours, client) = duplex(buffer);
        let close_idle = CancellationToken::new();
        let held = Budget::new(BUDGET).nothing();
        let ours = StallTimeout::new(ours, STALL, keep_alive, close_idle, held);
        (ours, client)
    }

    /// How long it takes until the connection is given up.
    async fn given_up<T>(work: impl Future<Output = io::Result<T>>) -> Duration {
        let begun = Instant::now();
        let done = timeout(LONG / 2, work).await.expect("it is given up");
        assert_eq!(done.err().unwrap().kind(), io::ErrorKind::TimedOut);
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_request_that_comes_byte_by_byte_is_given_up() {
        let (mut ours, mut client) = connection(1_000, LONG);
        ours.write_all(b"an answer").await.unwrap();
        let drip = async {
            while client.write_all(b"x").await.is_ok() {
                sleep(STALL / 20).await;
            }
        };
        let mut request = [0; 1_000];
        tokio::select! {
            waited = given_up(ours.read_exact(&mut request)) => assert!(waited >= STALL),
            () = drip => panic!("the client stopped"),
        }
    }

    #[tokio::test]
    async fn an_idle_connection_is_first_left_to_the_server_s_own_patience() {
        let (mut ours, _client) = connection(1_000, STALL);
        assert!(given_up(ours.read_u8()).await >= STALL * 2);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut ours, mut client) = connection(10, LONG);
        client.write_all(b"x").await.unwrap();
        ours.read_u8().await.unwrap();
        assert!(given_up(ours.write_all(&[0; 100])).await >= STALL);
    }

    #[tokio::test]
    async fn who_makes_headway_may_take_long() {
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
                let request = ours.under_way().begin();
                let under_way = (!answered).then_some(request);
                ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut rest = Vec::new();
                ours.read_to_end(&mut rest).await.unwrap();
                assert!(ours.under_way().is_cut_off());
                drop((ours, under_way));
                12_000 + rest.len()
            };
            // It ends with an error once nobody reads.
            let (passed_on, _) = tokio::join!(serve, client.write_all(request.as_bytes()));
            let is_bounded = passed_on <= 8 * 1024 + BUDGET;
            assert_eq!(is_bounded, !answered, "{passed_on}");
        }
    }

    /// What was asked before may take longer to be answered than a client is waited for at the end.
    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_why_however_long_the_answer_before_took() {
        let (ours, mut client) = duplex(1_000);
        let held = Budget::new(0).nothing();
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

    /// What the client gets when it sends this and reads, and how many bytes of it were passed on.
    async fn sent(head: &str) -> (String, usize) {
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
        let (answer, passed_on) = sent(&request).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(passed_on <= 16 * 1024, "{passed_on}");
    }

    #[tokio::test]
    async fn a_request_for_which_there_is_no_room_is_answered() {
        for end in ["", "\r\n\r\n"] {
            no_room(end).await;
        }
    }

    async fn no_room(end: &str) {
        let held = Budget::new(0).nothing();
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
