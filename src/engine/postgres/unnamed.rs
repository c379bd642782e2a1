//! Prepared statements behind a pooler in transaction mode, which may run each transaction in another session of the server.
//!
//! A statement that was prepared by name in one session is unknown in the next session, or its name belongs to a statement of
//! another process there. This stream therefore does not send names to the server: it sends the statement again with each
//! execution, as the unnamed statement and before the same Sync message as the execution. A pooler keeps such a batch in one
//! session. The cost is that the server parses the statement at each execution.
//!
//! Messages: PostgreSQL documentation, "Frontend/Backend Protocol", "Extended Query" and "Message Formats".

use std::{
    collections::{HashMap, VecDeque},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// Maximum number of bytes that one read takes.
const READ_BYTES: usize = 8192;

/// A stream to the server that replaces named statements by the unnamed one. Without a pooler it passes all bytes on unchanged.
pub(super) struct Unnamed<S> {
    stream: S,
    rewriter: Option<Box<Rewriter>>,
}

impl<S> Unnamed<S> {
    pub(super) fn new(stream: S, is_pooled: bool) -> Self {
        Self {
            stream,
            rewriter: is_pooled.then(Box::default),
        }
    }
}

/// The sender of a Parse message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParseOrigin {
    Client,
    /// This stream, which must not pass the answer on to the client.
    Rewriter,
}

/// The state of both directions of the stream.
#[derive(Default)]
struct Rewriter {
    /// The startup message was passed on.
    has_started: bool,
    /// Bytes from the client that are not yet a complete message.
    partial: BytesMut,
    /// Bytes to be sent to the server.
    outgoing: BytesMut,
    /// For each name of a statement: the bytes that follow the name in its Parse message.
    statements: HashMap<Bytes, Bytes>,
    /// The name of the statement that is now the unnamed one of the server. `None` after each Sync.
    current: Option<Bytes>,
    /// For each batch of messages between two Syncs, the origins of the Parse messages that are not answered yet. The last
    /// batch has not ended.
    batches: VecDeque<VecDeque<ParseOrigin>>,
    /// The kind and length of the server's current message, as far as they have come: five bytes when complete.
    head: Vec<u8>,
    /// Bytes of that message's body that are still to come.
    left: usize,
    /// Bytes for the client.
    incoming: BytesMut,
}

impl Rewriter {
    /// Takes bytes from the client, and adds the translated messages to `outgoing`.
    fn send(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        if !self.has_started {
            // The startup message begins with its length; it has no byte for its kind.
            let Some(length) = length_at(&self.partial, 0) else {
                return;
            };
            if self.partial.len() < length {
                return;
            }
            self.outgoing.put(self.partial.split_to(length));
            self.has_started = true;
        }
        while let Some(length) = length_at(&self.partial, 1)
            && self.partial.len() > length
        {
            let mut body = self.partial.split_to(length + 1).freeze();
            let kind = body.get_u8();
            body.advance(4);
            self.translate(kind, body);
        }
    }

    fn translate(&mut self, kind: u8, mut body: Bytes) {
        match kind {
            b'P' => {
                let name = take_text(&mut body);
                self.put_parse(&body, ParseOrigin::Client);
                self.current = Some(name.clone());
                if !name.is_empty() {
                    self.statements.insert(name, body);
                }
            }
            b'B' => {
                let portal = take_text(&mut body);
                let name = take_text(&mut body);
                self.make_current(&name);
                let mut bind = BytesMut::from(&portal[..]);
                bind.put_u8(0);
                bind.put_u8(0);
                bind.put(body);
                self.put(b'B', &bind);
            }
            b'D' | b'C' if body.first() == Some(&b'S') => {
                body.advance(1);
                let name = take_text(&mut body);
                if kind == b'D' {
                    self.make_current(&name);
                } else {
                    self.statements.remove(&name);
                    self.current = None;
                }
                self.put(kind, b"S\0");
            }
            _ => {
                self.put(kind, &body);
                // Each Sync and each simple query is answered by one ReadyForQuery.
                if matches!(kind, b'S' | b'Q') {
                    self.current = None;
                    self.ensure_batch();
                    self.batches.push_back(VecDeque::new());
                }
            }
        }
    }

    /// Adds a Parse message for this statement, unless it is the unnamed statement already.
    fn make_current(&mut self, name: &Bytes) {
        if self.current.as_ref() == Some(name) {
            return;
        }
        if let Some(statement) = self.statements.get(name).cloned() {
            self.put_parse(&statement, ParseOrigin::Rewriter);
            self.current = Some(name.clone());
        }
    }

    fn put_parse(&mut self, statement: &[u8], origin: ParseOrigin) {
        let mut parse = BytesMut::with_capacity(statement.len() + 1);
        parse.put_u8(0);
        parse.put_slice(statement);
        self.put(b'P', &parse);
        self.ensure_batch();
        if let Some(batch) = self.batches.back_mut() {
            batch.push_back(origin);
        }
    }

    fn ensure_batch(&mut self) {
        if self.batches.is_empty() {
            self.batches.push_back(VecDeque::new());
        }
    }

    fn put(&mut self, kind: u8, body: &[u8]) {
        self.outgoing.put_u8(kind);
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        self.outgoing.put_u32(length);
        self.outgoing.put_slice(body);
    }

    /// Takes bytes from the server, and adds those that the client may see to `incoming`.
    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.incoming.put_slice(body);
                self.left -= body.len();
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at((5 - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
            let Some(length) = length_at(&self.head, 1) else {
                continue;
            };
            self.left = length.saturating_sub(4);
            let is_ours = match self.head.first() {
                // ParseComplete.
                Some(b'1') => {
                    let batch = self.batches.front_mut();
                    batch.and_then(VecDeque::pop_front) == Some(ParseOrigin::Rewriter)
                }
                // ReadyForQuery ends a batch. The first one ends the login, before any batch.
                Some(b'Z') => {
                    if self.batches.len() > 1 {
                        self.batches.pop_front();
                    }
                    false
                }
                _ => false,
            };
            if !is_ours {
                self.incoming.put_slice(&self.head);
            }
            self.head.clear();
        }
    }
}

/// The length field of a message, which begins at this index. The length includes the field's own four bytes.
fn length_at(bytes: &[u8], index: usize) -> Option<usize> {
    let length = bytes.get(index..index + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

/// Takes a text and the zero byte that ends it. Returns the text.
fn take_text(body: &mut Bytes) -> Bytes {
    let end = body.iter().position(|byte| *byte == 0);
    let text = body.split_to(end.unwrap_or(body.len()));
    if body.has_remaining() {
        body.advance(1);
    }
    text
}

impl<S: AsyncWrite + Unpin> Unnamed<S> {
    /// Sends all translated bytes to the server.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(rewriter) = &mut self.rewriter {
            while rewriter.outgoing.has_remaining() {
                let stream = Pin::new(&mut self.stream);
                let written = ready!(stream.poll_write(context, &rewriter.outgoing))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                rewriter.outgoing.advance(written);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unnamed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Earlier bytes are sent before more are taken. That bounds the memory.
        ready!(self.poll_drain(context))?;
        let Some(rewriter) = &mut self.rewriter else {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        };
        rewriter.send(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unnamed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, rewriter } = &mut *self;
        let Some(rewriter) = rewriter else {
            return Pin::new(stream).poll_read(context, buffer);
        };
        while rewriter.incoming.is_empty() {
            let mut space = [0; READ_BYTES];
            let mut part = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            rewriter.receive(part.filled());
        }
        let size = rewriter.incoming.len().min(buffer.remaining());
        buffer.put_slice(&rewriter.incoming.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl<S: TlsStream + Unpin> TlsStream for Unnamed<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn sync() -> Vec<u8> {
        message(b'S', b"")
    }

    /// A rewriter after the startup message and the login.
    fn rewriter() -> Rewriter {
        let mut rewriter = Rewriter::default();
        rewriter.send(&[0, 0, 0, 8, 0, 3, 0, 0]);
        assert_eq!(rewriter.outgoing.split().len(), 8);
        rewriter.receive(&message(b'Z', b"I"));
        rewriter.incoming.clear();
        rewriter
    }

    #[test]
    fn a_statement_goes_along_with_each_execution_however_the_bytes_arrive() {
        let prepare = [
            message(b'P', b"s7\0SELECT 1\0\0\0"),
            message(b'D', b"Ss7\0"),
            sync(),
        ]
        .concat();
        let execute = [message(b'B', b"\0s7\0rest"), message(b'E', b"x"), sync()].concat();
        let (all, parse) = (
            [prepare, execute].concat(),
            message(b'P', b"\0SELECT 1\0\0\0"),
        );
        let expected = [
            parse.clone(),
            message(b'D', b"S\0"),
            sync(),
            parse,
            message(b'B', b"\0\0rest"),
            message(b'E', b"x"),
            sync(),
        ]
        .concat();
        let answers = [
            message(b'1', b""),
            message(b'T', b"columns"),
            message(b'Z', b"I"),
            message(b'1', b""),
            message(b'2', b""),
            message(b'Z', b"I"),
        ];
        let mut seen = answers.to_vec();
        seen.remove(3);
        for size in 1..all.len() {
            let mut rewriter = rewriter();
            for part in all.chunks(size) {
                rewriter.send(part);
            }
            assert_eq!(rewriter.outgoing, expected, "in parts of {size}");
            for part in answers.concat().chunks(size) {
                rewriter.receive(part);
            }
            assert_eq!(rewriter.incoming, seen.concat(), "in parts of {size}");
        }
    }

    #[test]
    fn after_an_error_the_answers_of_the_next_batch_are_matched_correctly() {
        let mut rewriter = rewriter();
        rewriter.send(&[message(b'P', b"s1\0A\0"), sync()].concat());
        rewriter.receive(&[message(b'1', b""), message(b'Z', b"I")].concat());
        let execute = [message(b'B', b"\0s1\0"), sync()].concat();
        rewriter.send(&execute);
        rewriter.send(&execute);
        rewriter.incoming.clear();
        // The server refuses the first Parse message of the rewriter, as after a table was dropped.
        rewriter.receive(&[message(b'E', b"C42P01\0\0"), message(b'Z', b"I")].concat());
        rewriter.receive(&[message(b'1', b""), message(b'2', b""), message(b'Z', b"I")].concat());
        let seen = [
            message(b'E', b"C42P01\0\0"),
            message(b'Z', b"I"),
            message(b'2', b""),
            message(b'Z', b"I"),
        ];
        assert_eq!(rewriter.incoming, seen.concat());
    }

    #[test]
    fn a_closed_statement_is_forgotten() {
        let mut rewriter = rewriter();
        rewriter.send(
            &[
                message(b'P', b"s1\0A\0"),
                sync(),
                message(b'C', b"Ss1\0"),
                sync(),
            ]
            .concat(),
        );
        assert!(rewriter.statements.is_empty());
    }
}
