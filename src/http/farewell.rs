//! What a client is told that is turned away before its request is read: an answer in the shape of all others, written without
//! the framework, and time to read it.

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

use super::{ApiError, ErrorCode, finish::SAFETY};

/// A client that is still sending must not be reset before it has read why: what it sends is thrown away for so long.
const LINGER: Duration = Duration::from_secs(1);
/// And so many bytes of it.
const LINGER_BYTES: usize = 256 * 1024;

/// Why a request is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// Its head is too large.
    HeadTooLarge,
    /// There is no room to hold it.
    BuffersFull,
    /// Its network has as many connections as it may have.
    NetworkCrowded,
}

impl TurnedAway {
    /// The name in metrics.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "head_too_large",
            Self::BuffersFull => "buffers_full",
            Self::NetworkCrowded => "network_crowded",
        }
    }

    /// The whole answer, as it goes over the wire.
    pub(super) fn answer(self) -> &'static [u8] {
        static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| written(ErrorCode::HeadTooLarge));
        static BUFFERS: LazyLock<Vec<u8>> = LazyLock::new(|| written(ErrorCode::Busy));
        static NETWORK: LazyLock<Vec<u8>> = LazyLock::new(|| written(ErrorCode::TooManyRequests));
        match self {
            Self::HeadTooLarge => &HEAD,
            Self::BuffersFull => &BUFFERS,
            Self::NetworkCrowded => &NETWORK,
        }
    }
}

fn written(code: ErrorCode) -> Vec<u8> {
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
    for (name, value) in SAFETY {
        lines.push(format!("{name}: {}", value.to_str().unwrap_or_default()));
    }
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}

/// The end of a connection: the answer, our end of the stream, and what the client still sends.
pub(super) struct Farewell {
    left: &'static [u8],
    closed: bool,
    thrown_away: usize,
    /// From the moment on at which the connection is ended; what was asked before may take its time to be answered.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Farewell {
    /// Without words for who is in the middle of a body: its request is answered already, or is about to be.
    pub(super) fn new(answer: Option<&'static [u8]>) -> Self {
        Self {
            left: answer.unwrap_or_default(),
            closed: false,
            thrown_away: 0,
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
        while !self.left.is_empty() {
            let written = ready!(stream.as_mut().poll_write(context, self.left))?;
            if written == 0 {
                return Poll::Ready(Ok(()));
            }
            self.left = self.left.get(written..).unwrap_or_default();
        }
        if !self.closed {
            ready!(stream.as_mut().poll_shutdown(context))?;
            self.closed = true;
        }
        let mut bytes = [0; 4_096];
        while self.thrown_away < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(stream.as_mut().poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.thrown_away += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_look_as_the_framework_s_do() {
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
