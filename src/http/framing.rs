//! Tracks the framing of the requests on one connection: measures their heads, and changes bytes of three features that this
//! server does not support, before actix reads them. No byte is added, removed or held back.
//!
//! `Upgrade`: RFC 9110, 7.8, allows a server to ignore this header, and this server does. actix-http 3.20 instead answers 200
//! with `connection: upgrade` and closes the connection, and it reads the body of `Upgrade: websocket` to the end of the stream
//! (`h1/decoder.rs`, `h1/codec.rs`). Its codec has no setting against this. So the option `upgrade` in `Connection` and the value
//! of `Upgrade` are overwritten with other letters.
//!
//! Fragments: RFC 9112, 3.2, allows none in a request target. The `http` crate drops a fragment, so that `/metrics#` would be
//! `/metrics` here and another path for a proxy. `#` is overwritten with a character that no target may contain.
//!
//! `CONNECT`: this server is not a proxy. actix takes all bytes after the head of `CONNECT` as its body, to the end of the
//! stream, while this module would parse them as further requests. The last letter of the method is overwritten with a character
//! that no method may contain, so that actix answers 400.

use memchr::memchr;

/// A parser of one connection's bytes. It knows to which part of which request the next byte belongs.
///
/// This parser and actix may find different ends of a request only where actix refuses the request and closes the connection.
/// `CONNECT` is the only method that gives a request another framing. actix refuses its requests, too, because the name of the
/// method is overwritten.
pub(super) struct Framing {
    state: State,
    /// `Content-Length` of the current head.
    length: u64,
    /// Whether the current head has `Transfer-Encoding: chunked`.
    chunked: bool,
    /// The name of the current header in lower case. A longer name is not in [`Header`].
    name: [u8; NAME],
    name_len: usize,
    /// How many letters of `upgrade` the current option of `Connection` has matched; `None` if it is another option.
    matched: Option<usize>,
    /// How many letters of `CONNECT` the request line begins with.
    connect: usize,
    /// Length in bytes of the current line so far, without carriage returns: a line that consists of `\r\n` has length 0.
    line_len: usize,
    /// Bytes of the current head so far, including empty lines before it; 0 within a body.
    head_len: usize,
    /// Complete heads so far.
    heads: u64,
    /// Whether a complete head was larger than [`HEAD_LIMIT`].
    too_large: bool,
}

/// The largest request head that is accepted, in bytes. Node.js has the same limit. No client of this service needs a tenth of
/// it.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
/// The character DEL, which no method and no request target may contain.
const ILLEGAL: u8 = 0x7f;

/// Length of the longest name in [`Header`], `transfer-encoding`.
const NAME: usize = 17;
const OPTION: &[u8] = b"upgrade";
const CONNECT: &[u8] = b"CONNECT";

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    RequestLine,
    Name,
    Value(Header),
    /// The rest of a header that is not in [`Header`].
    Rest,
    /// A body, with the number of bytes still to come.
    Body(u64),
    /// The hexadecimal size of a chunk, with its value so far.
    ChunkSize(u64),
    /// The rest of the line after the size, with the size.
    ChunkExtension(u64),
    /// The bytes of a chunk and the line end after them, with the number still to come.
    Chunk(u64),
    Trailer,
}

/// The headers whose values this module reads or changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Connection,
    Upgrade,
    ContentLength,
    TransferEncoding,
}

/// Whether a line that begins with this byte can be one of [`Header`], or the empty line. Most lines of a head are neither.
fn may_begin_name(byte: u8) -> bool {
    matches!(
        byte.to_ascii_lowercase(),
        b'c' | b'u' | b't' | b'\r' | b'\n'
    )
}

/// The name of a header line, or the whole line if it has no colon.
fn name_of(line: &[u8]) -> &[u8] {
    let end = memchr(b':', line).unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// Whether a header with this name can be one of [`Header`], or is the empty line.
fn may_be_known(name: &[u8]) -> bool {
    // 0 is the empty line; the others are the lengths of `upgrade`, `connection`, `content-length` and `transfer-encoding`. A
    // carriage return in a name changes its length; `step` compares the name without it.
    matches!(name.len(), 0 | 7 | 10 | 14 | NAME) || name.contains(&b'\r')
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            state: State::RequestLine,
            length: 0,
            chunked: false,
            name: [0; NAME],
            name_len: 0,
            matched: Some(0),
            connect: 0,
            line_len: 0,
            head_len: 0,
            heads: 0,
            too_large: false,
        }
    }

    /// Bytes of the incomplete head; 0 between requests and within a body.
    pub(super) fn head_len(&self) -> usize {
        self.head_len
    }

    /// Number of complete heads so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// True once a head, complete or not, was larger than [`HEAD_LIMIT`].
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large || self.head_len > HEAD_LIMIT
    }

    /// Parses the bytes that have just been read, and changes them as the module's text describes.
    pub(super) fn apply(&mut self, mut bytes: &mut [u8]) {
        loop {
            if self.state == State::Name && self.line_len == 0 {
                let done = self.read_plain_lines(bytes);
                bytes = bytes.get_mut(done..).unwrap_or_default();
            }
            // Bodies, and lines without bytes to interpret, are skipped in one step.
            let skip = match self.state {
                State::Body(left) | State::Chunk(left) => {
                    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
                }
                // `line_len` grows by at least 1, since 0 would mean an empty line.
                State::Rest => {
                    let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
                    self.line_len += end.max(1);
                    end
                }
                State::RequestLine | State::Trailer | State::ChunkExtension(_) => {
                    let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
                    let line = bytes.get_mut(..end).unwrap_or_default();
                    if self.state == State::RequestLine {
                        for byte in line.iter_mut().filter(|byte| **byte == b'#') {
                            *byte = ILLEGAL;
                        }
                        self.invalidate_connect(line);
                    }
                    self.line_len += line.iter().filter(|byte| **byte != b'\r').count();
                    line.len()
                }
                _ => 0,
            };
            let (skipped, rest) = std::mem::take(&mut bytes).split_at_mut(skip);
            if matches!(self.state, State::RequestLine | State::Rest) {
                self.head_len += skipped.len();
            }
            self.count_skipped(skipped.len() as u64);
            // No byte is left if `bytes` ends before the body, chunk or line that is skipped. Else the next byte is the first one
            // after the skipped ones.
            let Some((byte, rest)) = rest.split_first_mut() else {
                return;
            };
            self.step(byte);
            bytes = rest;
        }
    }

    /// Reads complete header lines from the beginning of `bytes`, up to a line that has to be parsed byte by byte; few lines of a
    /// head have to. Returns the number of bytes read. `bytes` must begin with the beginning of a line.
    fn read_plain_lines(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let begins_plain = !rest.first().is_some_and(|byte| may_begin_name(*byte));
            let Some(line) = memchr(b'\n', rest).and_then(|end| rest.get(..end)) else {
                // The end of this line is still to come. Its first byte rules out all of [`Header`], so its rest is skipped.
                if begins_plain {
                    self.state = State::Rest;
                }
                break;
            };
            // A line that may be another one of [`Header`] is left to `apply`, which parses it byte by byte.
            let name = name_of(line);
            if name.eq_ignore_ascii_case(b"content-length") {
                for byte in line {
                    self.length_digit(*byte);
                }
            } else if !begins_plain && may_be_known(name) {
                break;
            }
            done += line.len() + 1;
        }
        self.head_len += done;
        done
    }

    /// Adds a digit of `Content-Length`; other bytes are ignored.
    fn length_digit(&mut self, byte: u8) {
        if byte.is_ascii_digit() {
            let digit = u64::from(byte - b'0');
            self.length = self.length.saturating_mul(10).saturating_add(digit);
        }
    }

    /// Overwrites the last letter of the method `CONNECT`. `line` is the next piece of a request line; `line_len` is the length of
    /// the pieces before it.
    fn invalidate_connect(&mut self, line: &mut [u8]) {
        // Only bytes at the first places of the line can belong to the method's name.
        let rest = CONNECT.len().saturating_sub(self.line_len);
        for (place, byte) in (self.line_len..).zip(line.iter_mut().take(rest)) {
            if self.connect == place && CONNECT.get(place) == Some(byte) {
                self.connect += 1;
                if self.connect == CONNECT.len() {
                    *byte = ILLEGAL;
                }
            }
        }
    }

    /// Counts bytes of a body or of a chunk that were skipped.
    fn count_skipped(&mut self, count: u64) {
        self.state = match self.state {
            State::Body(left) if left == count => State::RequestLine,
            State::Body(left) => State::Body(left - count),
            State::Chunk(left) if left == count => State::ChunkSize(0),
            State::Chunk(left) => State::Chunk(left - count),
            other => other,
        };
    }

    fn step(&mut self, byte: &mut u8) {
        if matches!(
            self.state,
            State::RequestLine | State::Name | State::Value(_) | State::Rest
        ) {
            self.head_len += 1;
        }
        if *byte == b'\n' {
            self.end_line();
            return;
        }
        if *byte != b'\r' {
            self.line_len += 1;
        }
        match self.state {
            State::Name if *byte == b':' => self.begin_value(),
            State::Name => {
                if let Some(place) = self.name.get_mut(self.name_len) {
                    *place = byte.to_ascii_lowercase();
                    if *byte != b'\r' {
                        self.name_len += 1;
                    }
                } else {
                    self.state = State::Rest;
                }
            }
            State::Value(Header::Connection) => self.connection_option(byte),
            State::Value(Header::Upgrade) if byte.is_ascii_graphic() => *byte = b'x',
            State::Value(Header::ContentLength) => self.length_digit(*byte),
            State::Value(Header::TransferEncoding) if byte.eq_ignore_ascii_case(&b'c') => {
                // actix accepts no codings other than `chunked` and `identity`. Of these, only `chunked` contains the letter c.
                self.chunked = true;
            }
            State::ChunkSize(size) => {
                self.state = match char::from(*byte).to_digit(16) {
                    Some(digit) => {
                        State::ChunkSize(size.saturating_mul(16).saturating_add(digit.into()))
                    }
                    None => State::ChunkExtension(size),
                };
            }
            _ => {}
        }
    }

    fn begin_value(&mut self) {
        self.matched = Some(0);
        self.state = match self.name.get(..self.name_len).unwrap_or_default() {
            b"connection" => State::Value(Header::Connection),
            b"upgrade" => State::Value(Header::Upgrade),
            b"content-length" => State::Value(Header::ContentLength),
            b"transfer-encoding" => State::Value(Header::TransferEncoding),
            _ => State::Rest,
        };
    }

    /// Parses one byte of the value of `Connection`. Only the last letter of `upgrade` is overwritten, so that no byte before it
    /// has to be held back.
    fn connection_option(&mut self, byte: &mut u8) {
        self.matched = match (*byte, self.matched) {
            (b',', _) => Some(0),
            (b' ' | b'\t' | b'\r', matched) => matched,
            (letter, Some(matched))
                if OPTION.get(matched) == Some(&letter.to_ascii_lowercase()) =>
            {
                if matched + 1 == OPTION.len() {
                    *byte = b'x';
                }
                Some(matched + 1)
            }
            _ => None,
        };
    }

    fn end_line(&mut self) {
        let empty = self.line_len == 0;
        self.line_len = 0;
        self.name_len = 0;
        self.connect = 0;
        self.state = match self.state {
            // Before a request, empty lines are allowed. In the trailers, an empty line is the end.
            State::RequestLine | State::Trailer if empty => State::RequestLine,
            State::Name if empty => self.end_head(),
            State::ChunkSize(0) | State::ChunkExtension(0) | State::Trailer => State::Trailer,
            State::ChunkSize(size) | State::ChunkExtension(size) => {
                // 2 for the line end (`\r\n`) after the bytes of the chunk.
                State::Chunk(size.saturating_add(2))
            }
            _ => State::Name,
        };
    }

    fn end_head(&mut self) -> State {
        self.heads += 1;
        self.too_large |= self.head_len > HEAD_LIMIT;
        self.head_len = 0;
        let (length, chunked) = (self.length, self.chunked);
        (self.length, self.chunked) = (0, false);
        match (chunked, length) {
            (true, _) => State::ChunkSize(0),
            (false, 0) => State::RequestLine,
            (false, length) => State::Body(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

    /// The bytes that actix gets if `text` arrives in pieces of this size.
    fn passed_to_actix(text: &str, piece: usize) -> String {
        let mut framing = Framing::new();
        let mut bytes = text.as_bytes().to_vec();
        for piece in bytes.chunks_mut(piece) {
            framing.apply(piece);
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn heads_are_measured_and_bodies_are_not() {
        let head = |bytes: usize| {
            let begin = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\nx: ";
            let rest = bytes - begin.len() - "\r\n\r\n".len();
            format!("{begin}{}\r\n\r\n", "y".repeat(rest))
        };
        let body = "z".repeat(100_000);
        let is_too_large = |text: &str, piece: usize| {
            let mut framing = Framing::new();
            let mut bytes = text.as_bytes().to_vec();
            for piece in bytes.chunks_mut(piece) {
                framing.apply(piece);
            }
            framing.is_too_large()
        };
        for piece in [1, 1_000, 1_000_000] {
            let whole = format!("{}{body}", head(HEAD_LIMIT)).repeat(3);
            assert!(!is_too_large(&whole, piece));
            assert!(is_too_large(
                &format!("{whole}{}", head(HEAD_LIMIT + 1)),
                piece
            ));
            let incomplete = format!("{whole}GET /{}", "x".repeat(HEAD_LIMIT));
            assert!(is_too_large(&incomplete, piece), "before its end");
            assert!(
                is_too_large(&"\r\n".repeat(HEAD_LIMIT), piece),
                "empty lines"
            );
            assert!(is_too_large(
                &format!("GET / HTTP/1.1\r\n{}", "a:\r\n".repeat(HEAD_LIMIT / 4)),
                piece
            ));
        }
        let mut framing = Framing::new();
        framing.apply(&mut format!("{}{body}GET / HT", head(1_000)).into_bytes());
        assert_eq!((framing.heads(), framing.head_len()), (1, 8));
    }

    #[test]
    fn a_number_sign_is_overwritten_in_the_target_only() {
        let sent = "GET /metrics# HTTP/1.1\r\nHost: a#b\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
        let expected = sent.replacen('#', "\u{7f}", 1);
        for piece in 1..sent.len() {
            assert_eq!(passed_to_actix(sent, piece), expected);
        }
    }

    #[test]
    fn the_method_connect_is_overwritten_in_every_request_and_other_methods_are_not() {
        let sent = "\r\nGET /CONNECT HTTP/1.1\r\nCONNECT: a\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nCONNECT \nCONNEC / HTTP/1.1\r\n\r\n\
                    CCONNECT / HTTP/1.1\r\n\r\nCONNECT a:1 HTTP/1.1\r\n\r\n";
        let expected = sent.replace("T a:1", "\u{7f} a:1");
        for piece in 1..sent.len() {
            assert_eq!(passed_to_actix(sent, piece), expected);
        }
    }

    #[test]
    fn upgrades_are_overwritten_in_every_head_and_nothing_else_is_whatever_the_pieces() {
        let (length, hex) = (BODY.len(), format!("{:x}", BODY.len()));
        let ours = |upgrade: &str, to: &str| {
            format!(
                "\r\nPOST /upgrade HTTP/1.1\r\nHost: a\r\nCoNNection: keep-alive, {upgrade}, HTTP2-Settings\r\nUPGRADE:{to}\r\n\
                 X-Connection: upgrade\r\nContent-Length: {length}\r\n\r\n{BODY}\
                 POST / HTTP/1.1\nConnection:{upgrade}\nTransfer-Encoding: chunked\n\n{hex};a=b\r\n{BODY}\r\n0\r\n\r\n\
                 GET / HTTP/1.1\r\nConnection: close , {upgrade}\r\nConnection: not-upgrade\r\nUpgrade: {to}\r\n\r\n"
            )
        };
        let (sent, expected) = (ours("Upgrade", "websocket"), ours("Upgradx", "xxxxxxxxx"));
        for piece in (1..60).chain([sent.len()]) {
            assert_eq!(
                passed_to_actix(&sent, piece),
                expected,
                "in pieces of {piece} bytes"
            );
        }
    }
}
