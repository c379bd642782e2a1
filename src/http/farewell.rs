//! Refuses a client before its request is read: a response in the format of all others, written without the framework, and a
//! close of the connection that leaves the client time to read it.

use std::{
    io,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{ApiError, ErrorCode, finish::SECURITY_HEADERS};

/// Longest time from the start of the response to the close of the connection. The server meanwhile reads and discards what the
/// client still sends: closing earlier would reset the connection, and the client could lose the response.
const LINGER: Duration = Duration::from_secs(1);
/// Number of discarded bytes after which the connection is closed before [`LINGER`] has passed.
const LINGER_BYTES: usize = 256 * 1024;

/// Why the server refuses a connection's requests. Named after the metric `flashsale_http_turned_away_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// The head of a request is too large.
    HeadTooLarge,
    /// The memory budget for requests without a response is exhausted.
    BuffersFull,
    /// The client's network has reached its limit of connections.
    NetworkCrowded,
}

impl TurnedAway {
    /// The value of the metric's label `reason`.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "head_too_large",
            Self::BuffersFull => "buffers_full",
            Self::NetworkCrowded => "network_crowded",
        }
    }

    /// The whole response, head and body.
    pub(super) fn answer(self) -> &'static [u8] {
        static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| serialize(ErrorCode::HeadTooLarge));
        static BUFFERS: LazyLock<Vec<u8>> = LazyLock::new(|| serialize(ErrorCode::Busy));
        static NETWORK: LazyLock<Vec<u8>> = LazyLock::new(|| serialize(ErrorCode::TooManyRequests));
        match self {
            Self::HeadTooLarge => &HEAD,
            Self::BuffersFull => &BUFFERS,
            Self::NetworkCrowded => &NETWORK,
        }
    }
}

fn serialize(code: ErrorCode) -> Vec<u8> {
    let body = serde_json::to_string(&ApiError::from(code).body()).unwrap_or_default();
    let mut lines = vec![
        format!("HTTP/1.1 {}", code.status()),
        "content-type: application/json".to_owned(),
        format!("content-length: {}", body.len()),
        "connection: close".to_owned(),
    ];
    if let Some(secs) = code.retry_after_secs() {
        lines.push(format!("retry-after: {secs}"));
    }
    for (name, value) in &SECURITY_HEADERS {
        lines.push(format!("{name}: {}", value.to_str().unwrap_or_default()));
    }
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}

/// Closes a connection in three steps: writes the response, ends the server's side of the stream, and discards what the client
/// still sends.
pub(super) struct LingeringClose {
    /// The part of the response that has not been written.
    unsent: &'static [u8],
    closed: bool,
    /// Bytes from the client.
    discarded: usize,
    /// For [`LINGER`]. The first poll starts it: until then, responses to earlier requests may take any time.
    timer: Option<Pin<Box<Sleep>>>,
}

impl LingeringClose {
    /// `response` is `None` for a client in the middle of a body: the application has answered its request, or will.
    pub(super) fn new(response: Option<&'static [u8]>) -> Self {
        Self {
            unsent: response.unwrap_or_default(),
            closed: false,
            discarded: 0,
            timer: None,
        }
    }

    /// Ready when the stream can be dropped.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        while !self.unsent.is_empty() {
            let written = ready!(stream.as_mut().poll_write(context, self.unsent))?;
            if written == 0 {
                return Poll::Ready(Ok(()));
            }
            self.unsent = self.unsent.get(written..).unwrap_or_default();
        }
        if !self.closed {
            ready!(stream.as_mut().poll_shutdown(context))?;
            self.closed = true;
        }
        let mut bytes = [0; 4_096];
        while self.discarded < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(stream.as_mut().poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_have_the_format_of_the_framework_s() {
        let text = |why: TurnedAway| String::from_utf8(why.answer().to_vec()).unwrap();
        let head = text(TurnedAway::HeadTooLarge);
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert!(head.contains("\r\nx-content-type-options: nosniff\r\n"));
        let (_, body) = head.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "head_too_large");
        assert!(text(TurnedAway::BuffersFull).contains("\r\nretry-after: 1\r\n"));
        assert!(text(TurnedAway::NetworkCrowded).starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
    }
}
