//! One connection of hyper. The task that sends requests over it also drives it, instead of a task of its own.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::Context,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
    header::HeaderMap,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    answer::Answer,
    heard::{Heard, Listening},
    no_answer::NoAnswer,
    own_wakes::OwnWakes,
};

/// Longest head of an answer. A longer one is refused.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// A connection that is open.
pub(super) struct Exchange<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver<S>,
    heard: Heard,
    wakes: OwnWakes,
}

/// How an exchange ended without an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// No byte of an answer came.
    Silently,
    For(NoAnswer),
}

/// The side of hyper that reads and writes; `None` once the connection has ended.
struct Driver<S>(Option<http1::Connection<TokioIo<Listening<S>>, Full<Bytes>>>)
where
    S: AsyncRead + AsyncWrite + Unpin;

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Reads and writes as much as is possible without waiting. Afterwards hyper has the answer's head and the pieces of its body,
    /// as far as they have arrived.
    fn advance(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(context).is_ready()
        {
            // The future that waits for the answer has got the connection's error.
            self.0 = None;
        }
    }
}

impl<S> Exchange<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) async fn new(stream: S) -> io::Result<Self> {
        let stream = Listening::new(stream);
        let heard = stream.heard();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX_BYTES)
            // Requests are short: one buffer for head and body.
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        Ok(Self {
            sender,
            driver: Driver(Some(connection)),
            heard,
            wakes: OwnWakes::new(),
        })
    }

    /// False if no request may follow a complete answer: the server said so, or it sent more than the answer.
    pub(super) fn is_kept(&self) -> bool {
        self.driver.0.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the end of its answer. The second value is the memory of the headers, which can be used
    /// again.
    pub(super) async fn ask(
        &mut self,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<(Answer, HeaderMap), Lost> {
        self.heard.reset();
        let sent = self.wakes.without(|| self.sender.send_request(request));
        let mut response = pin!(sent);
        let response = poll_fn(|context| {
            self.wakes.poll(context, |context| {
                self.driver.advance(context);
                response.as_mut().poll(context)
            })
        });
        let response = response
            .await
            .map_err(|error| without_head(&error, &self.heard))?;
        let (mut head, body) = response.into_parts();
        let length = body.size_hint().exact();
        let answer = Answer::of_head(head.status, &head.headers, length).map_err(Lost::For)?;
        // The headers' values are parts of the buffer that the next answer is read into.
        head.headers.clear();
        let answer = self.read(body, answer).await.map_err(Lost::For)?;
        let is_whole = length.is_none_or(|length| answer.body.len() as u64 == length);
        if is_whole {
            Ok((answer, head.headers))
        } else {
            Err(Lost::For(NoAnswer::Closed))
        }
    }

    async fn read(&mut self, mut body: Incoming, mut answer: Answer) -> Result<Answer, NoAnswer> {
        while !body.is_end_stream() {
            let frame = poll_fn(|context| {
                self.wakes.poll(context, |context| {
                    let frame = Pin::new(&mut body).poll_frame(context);
                    if frame.is_ready() {
                        return frame;
                    }
                    self.driver.advance(context);
                    Pin::new(&mut body).poll_frame(context)
                })
            });
            match frame.await {
                None => break,
                Some(Err(error)) => return Err(within_body(&error)),
                Some(Ok(frame)) => {
                    // A frame that has no data has trailers.
                    if let Ok(piece) = frame.into_data() {
                        answer.add(piece)?;
                    }
                }
            }
        }
        Ok(answer)
    }
}

fn without_head(error: &hyper::Error, heard: &Heard) -> Lost {
    if error.is_parse_too_large() {
        Lost::For(NoAnswer::TooLarge)
    } else if error.is_parse() {
        Lost::For(NoAnswer::NotHttp)
    } else if error.is_canceled() || !heard.has_bytes() {
        // Either the request was not sent, since the connection had ended before, or it was sent and no byte came.
        Lost::Silently
    } else {
        Lost::For(NoAnswer::Closed)
    }
}

/// Why a body could not be read. For a malformed chunk, hyper's error has a source of one of these kinds.
fn within_body(error: &hyper::Error) -> NoAnswer {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => NoAnswer::NotHttp,
        _ => NoAnswer::Closed,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::{
        super::{request::Request, target::Target},
        *,
    };

    fn request() -> Request {
        let target = Target::new("http://127.0.0.1:1").unwrap();
        target.get("/").unwrap()
    }

    async fn ask(exchange: &mut Exchange<DuplexStream>) -> Result<Answer, Lost> {
        let authority = HeaderValue::from_static("host");
        let request = request().to_http(&authority, HeaderMap::new());
        exchange.ask(request).await.map(|(answer, _)| answer)
    }

    /// What is made of a text that the server sends after a request, in pieces of this size at most, and whether the
    /// connection is kept. Then the server ends the connection.
    async fn read(text: &str, piece: usize) -> (Result<(u16, String), Lost>, bool) {
        let (mut server, client) = duplex(piece);
        let serve = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(server.read_u8().await.unwrap());
            }
            let _ = server.write_all(text.as_bytes()).await;
            drop(server);
        };
        let mut exchange = Exchange::new(client).await.unwrap();
        let (asked, ()) = tokio::join!(ask(&mut exchange), serve);
        let answer = asked.map(|answer| {
            let body = String::from_utf8(answer.body.to_vec()).unwrap();
            (answer.status, body)
        });
        (answer, exchange.is_kept())
    }

    async fn read_in_every_way(text: &str) -> (u16, String) {
        let whole = read(text, text.len()).await.0.unwrap();
        for piece in 1..text.len() {
            assert_eq!(read(text, piece).await.0.as_ref(), Ok(&whole), "{piece}");
        }
        whole
    }

    #[tokio::test]
    async fn an_answer_is_the_same_in_whatever_pieces_it_arrives() {
        let text = "HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(read_in_every_way(text).await, (409, "hello".to_owned()));
        let empty = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read_in_every_way(empty).await, (204, String::new()));
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(read_in_every_way(interim).await, (200, "ok".to_owned()));
        let until_the_end = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
        let whole = (200, "until the end".to_owned());
        assert_eq!(read_in_every_way(until_the_end).await, whole);
    }

    #[tokio::test]
    async fn chunks_are_put_together_and_their_trailers_passed_over() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    4;name=value\r\nWiki\r\nB\r\npedia\r\n in \r\n0\r\nx: y\r\n\r\n";
        let body = "Wikipedia\r\n in ".to_owned();
        assert_eq!(read_in_every_way(text).await, (200, body));
    }

    #[tokio::test]
    async fn it_is_known_when_a_connection_ends_with_its_answer() {
        for (more, is_kept) in [
            ("content-length: 0\r\n\r\n", true),
            ("content-length: 2\r\n\r\nok", true),
            (
                "content-length: 2\r\n\r\nok, and what nobody asked for",
                false,
            ),
        ] {
            let (mut server, client) = duplex(1024);
            let mut exchange = Exchange::new(client).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\n{more}");
            server.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(ask(&mut exchange).await.unwrap().status, 200);
            assert_eq!(exchange.is_kept(), is_kept, "{more}");
        }
        for closes in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            let (answer, is_kept) = read(closes, closes.len()).await;
            assert_eq!((answer.unwrap().0, is_kept), (200, false), "{closes}");
        }
    }

    #[tokio::test]
    async fn an_answer_from_before_the_request_counts() {
        let text = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nretry-after: 7\r\n\r\n";
        let (mut server, client) = duplex(1024);
        server.write_all(text.as_bytes()).await.unwrap();
        let mut exchange = Exchange::new(client).await.unwrap();
        let answer = ask(&mut exchange).await.unwrap();
        assert_eq!((answer.status, answer.retry_after_secs), (429, Some(7)));
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_http_is_refused() {
        let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n\r\n");
        let chunked = head("transfer-encoding: chunked");
        for (text, why) in [
            (
                head(&format!("x: {}", "x".repeat(HEAD_MAX_BYTES))),
                NoAnswer::TooLarge,
            ),
            (head(&vec!["x: y"; 101].join("\r\n")), NoAnswer::TooLarge),
            (head("content-length: 99999999999"), NoAnswer::TooLarge),
            (
                head("") + &"x".repeat(4 * 1024 * 1024 + 1),
                NoAnswer::TooLarge,
            ),
            (head("content-length: -1"), NoAnswer::NotHttp),
            ("SSH-2.0-OpenSSH_9.2p1\r\n".to_owned(), NoAnswer::NotHttp),
            (chunked.clone() + "4\r\nWikipedia\r\n", NoAnswer::NotHttp),
            (chunked.clone() + "4\r\nWi", NoAnswer::Closed),
            (head("content-length: 9") + "half", NoAnswer::Closed),
            ("HTTP/1.1 200 OK\r\n".to_owned(), NoAnswer::Closed),
        ] {
            let shown: String = text.chars().take(80).collect();
            let (answer, is_kept) = read(&text, 16 * 1024).await;
            assert_eq!(answer, Err(Lost::For(why)), "{shown}");
            assert!(!is_kept || why != NoAnswer::Closed, "{shown}");
        }
        assert_eq!(read("", 16).await.0, Err(Lost::Silently));
    }
}
