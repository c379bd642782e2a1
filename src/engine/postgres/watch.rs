//! Inspects the messages of the server for two facts that the client library does not pass on: the SQLSTATE of the last error
//! (diesel maps a few codes to kinds and hides the others), and a request for the password in clear text or as its MD5 hash.
//!
//! A backend message is one byte that names its kind, four bytes of length (which count themselves), and its body
//! (PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats").

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// Bytes of a message's body that are kept. The SQLSTATE is among the first fields of an error.
const ERROR_BYTES: usize = 256;

/// The error that ends a connection during its login.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server asks for the password, or for its MD5 hash, over a connection that is not encrypted; nothing was sent"
)]
pub(super) struct PasswordInClear;

/// The SQLSTATE of the last error of a session. Shared by the session and its stream.
#[derive(Debug, Clone, Default)]
pub(super) struct LastCode(Arc<AtomicU64>);

impl LastCode {
    /// The five characters of the code; `None` if no error came since the last [`LastCode::clear`].
    pub(super) fn get(&self) -> Option<[u8; 5]> {
        let bytes = self.0.load(Ordering::Acquire).to_be_bytes();
        let [0, 0, 1, code @ ..] = bytes else {
            return None;
        };
        Some(code)
    }

    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn set(&self, code: [u8; 5]) {
        let mut bytes = [0, 0, 1, 0, 0, 0, 0, 0];
        for (to, from) in bytes.iter_mut().skip(3).zip(code) {
            *to = from;
        }
        self.0.store(u64::from_be_bytes(bytes), Ordering::Release);
    }
}

/// A stream whose incoming messages are inspected.
pub(super) struct Watched<S> {
    stream: S,
    inspector: Inspector,
}

/// Splits the incoming bytes into messages, and inspects each complete message.
struct Inspector {
    code: LastCode,
    may_send_password: bool,
    /// The kind and length of the current message, as far as they have come: five bytes when complete.
    head: Vec<u8>,
    /// Bytes of the current message's body that are still to come.
    left: usize,
    /// The first bytes of the body, if the message is relevant.
    body: Vec<u8>,
}

impl<S> Watched<S> {
    /// `may_send_password`: the password may be sent in clear text, because the connection is encrypted or does not leave this
    /// machine.
    pub(super) fn new(stream: S, code: LastCode, may_send_password: bool) -> Self {
        let inspector = Inspector {
            code,
            may_send_password,
            head: Vec::with_capacity(5),
            left: 0,
            body: Vec::new(),
        };
        Self { stream, inspector }
    }
}

impl Inspector {
    fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), PasswordInClear> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                if self.is_relevant() {
                    let room = ERROR_BYTES.saturating_sub(self.body.len());
                    self.body
                        .extend_from_slice(body.get(..room).unwrap_or(body));
                }
                self.left -= body.len();
                bytes = rest;
            } else {
                let (head, rest) = bytes.split_at((5 - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if let [_, length @ ..] = self.head.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                } else {
                    continue;
                }
            }
            if self.left == 0 {
                self.inspect_message()?;
                self.head.clear();
                self.body.clear();
            }
        }
        Ok(())
    }

    /// True for errors (`E`) and for requests to authenticate (`R`).
    fn is_relevant(&self) -> bool {
        matches!(self.head.first(), Some(b'E' | b'R'))
    }

    /// Inspects a complete message.
    fn inspect_message(&mut self) -> Result<(), PasswordInClear> {
        match self.head.first() {
            // AuthenticationCleartextPassword is 3, AuthenticationMD5Password is 5. The hash is enough to log in.
            Some(b'R')
                if !self.may_send_password
                    && matches!(self.body.as_slice(), [0, 0, 0, 3 | 5, ..]) =>
            {
                Err(PasswordInClear)
            }
            Some(b'E') => {
                // Each field is a letter and a text that ends with a zero byte. The field C is the SQLSTATE.
                let fields = self.body.split(|byte| *byte == 0);
                let code = fields
                    .filter_map(|field| field.strip_prefix(b"C"))
                    .find_map(|code| <[u8; 5]>::try_from(code).ok());
                if let Some(code) = code {
                    self.code.set(code);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &polled {
            let received = buffer.filled().get(before..).unwrap_or_default();
            if let Err(refused) = self.inspector.inspect(received) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    refused,
                )));
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspector(may_send_password: bool) -> (Inspector, LastCode) {
        let code = LastCode::default();
        let watched = Watched::new((), code.clone(), may_send_password);
        (watched.inspector, code)
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    #[test]
    fn the_code_of_an_error_is_found_however_its_bytes_arrive() {
        let stream = [
            message(b'T', b"a row description of any length"),
            message(b'Z', b"I"),
            message(b'E', b"SERROR\0VERROR\0C40P01\0Mdeadlock detected\0\0"),
            message(b'Z', b"E"),
        ]
        .concat();
        for size in 1..=stream.len() {
            let (mut inspector, code) = inspector(false);
            for part in stream.chunks(size) {
                inspector.inspect(part).unwrap();
            }
            assert_eq!(code.get(), Some(*b"40P01"), "in parts of {size}");
            code.clear();
            assert_eq!(code.get(), None);
        }
    }

    #[test]
    fn a_message_without_a_body_ends_with_its_head() {
        let (mut inspector, code) = inspector(false);
        let error = message(b'E', b"C25006\0\0");
        inspector
            .inspect(&[message(b'n', b""), message(b'1', b""), error].concat())
            .unwrap();
        assert_eq!(code.get(), Some(*b"25006"));
    }

    #[test]
    fn a_request_for_the_password_in_clear_text_is_refused_before_it_is_answered() {
        let request = message(b'R', &[0, 0, 0, 3]);
        assert!(inspector(false).0.inspect(&request).is_err());
        assert!(inspector(true).0.inspect(&request).is_ok());
        let hash = message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]);
        assert!(inspector(false).0.inspect(&hash).is_err());
        let scram = message(b'R', &[0, 0, 0, 10, b'S', 0, 0]);
        assert!(inspector(false).0.inspect(&scram).is_ok());
    }
}
