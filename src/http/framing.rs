//! Follows the framing of one connection's requests: measures their heads, and makes what this server does not take invisible to
//! actix.
//!
//! Upgrades that clients offer: this server accepts none.
//! RFC 9110, 7.8: a server may ignore `Upgrade`, and then answers as if it were not there. actix-http 3.20 answers 200 with
//! `connection: upgrade` instead and closes the connection, and reads the body of `Upgrade: websocket` to the end of the stream
//! (`h1/decoder.rs`, `h1/codec.rs`). Its codec has no setting for it, so the heads are changed before it reads them: the option
//! `upgrade` of `Connection` and the value of `Upgrade` get other letters. No byte is added, removed or held back.
//!
//! A fragment in a request's target: RFC 9112, 3.2, has none. The `http` crate drops it, so that `/metrics#` would be `/metrics` here
//! and another path for a proxy. It gets a letter that no target may have.
//!
//! `CONNECT`: this server is no proxy. actix takes all that follows its head for its body, to the end of the stream, where other
//! requests would be counted here. The last letter of the method becomes one that no method may have, so that it is answered 400.

use memchr::memchr;

/// Where in one connection's requests the bytes are that come next.
///
/// Where it disagrees with actix about the framing, actix refuses the request and closes the connection. `CONNECT`, the only
/// method with a framing of its own in requests, is refused by what is changed in it.
pub(super) struct Framing {
    state: State,
    /// Of the request whose head is read.
    length: u64,
    chunked: bool,
    /// The name of the header that is read, in lower case; names that do not fit are none of ours.
    name: [u8; NAME],
    name_len: usize,
    /// How many letters of `upgrade` the current option of `Connection` has matched; `None` if it is another option.
    matched: Option<usize>,
    /// How many letters of `CONNECT` the request line began with.
    connect: usize,
    /// Bytes of the current line, without its end.
    line_len: usize,
    /// Bytes of the head that is read, the empty lines before it included; 0 within a body.
    head_len: usize,
    /// Whole heads so far.
    heads: u64,
    too_large: bool,
}

/// The largest head of a request that is read, bytes, as nginx and Node.js have it. No client of this service needs a tenth of it.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
/// No method and no target of a request may have it: DEL.
const ILLEGAL: u8 = 0x7f;

/// The longest name that matters is `transfer-encoding`.
const NAME: usize = 17;
const OPTION: &[u8] = b"upgrade";
const CONNECT: &[u8] = b"CONNECT";

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    RequestLine,
    Name,
    Value(Header),
    /// The rest of a header that does not matter.
    Rest,
    Body(u64),
    /// The hexadecimal size of a chunk so far.
    ChunkSize(u64),
    /// The rest of the line after the size.
    ChunkExtension(u64),
    /// The bytes of a chunk and the line end behind them.
    Chunk(u64),
    Trailer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Connection,
    Upgrade,
    ContentLength,
    TransferEncoding,
}

/// Whether a line that begins with this byte may be one of [`Header`], or the empty line. Most headers are not.
fn may_begin_name(byte: u8) -> bool {
    matches!(
        byte.to_ascii_lowercase(),
        b'c' | b'u' | b't' | b'\r' | b'\n'
    )
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

    /// Bytes of the head that has not come to its end; 0 between requests and within a body.
    pub(super) fn head_len(&self) -> usize {
        self.head_len
    }

    /// How many whole heads there were.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// True once a head was larger than [`HEAD_LIMIT`], whether it came to its end or not.
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large || self.head_len > HEAD_LIMIT
    }

    /// Changes what has just been read.
    pub(super) fn apply(&mut self, mut bytes: &mut [u8]) {
        loop {
            if self.state == State::Name
                && self.line_len == 0
                && !bytes.first().is_none_or(|byte| may_begin_name(*byte))
            {
                self.state = State::Rest;
            }
            // Bodies and lines that do not matter are skipped at once.
            let skip = match self.state {
                State::Body(left) | State::Chunk(left) => {
                    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
                }
                // Such a line is not empty, whatever follows.
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
                        self.method(line);
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
            self.skipped(skipped.len() as u64);
            // A body that is not skipped whole has taken all bytes.
            let Some((byte, rest)) = rest.split_first_mut() else {
                return;
            };
            self.step(byte);
            bytes = rest;
        }
    }

    /// Spoils the method `CONNECT` in a piece of a request line, before it is counted.
    fn method(&mut self, line: &mut [u8]) {
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

    fn skipped(&mut self, count: u64) {
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
            State::Value(Header::Connection) => self.option(byte),
            State::Value(Header::Upgrade) if byte.is_ascii_graphic() => *byte = b'x',
            State::Value(Header::ContentLength) if byte.is_ascii_digit() => {
                let digit = u64::from(*byte - b'0');
                self.length = self.length.saturating_mul(10).saturating_add(digit);
            }
            State::Value(Header::TransferEncoding) if byte.eq_ignore_ascii_case(&b'c') => {
                // `chunked` is the only coding that actix takes besides `identity`, which has no c.
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

    /// One letter of the options of `Connection`. Its last one is changed, so that none before it need be held back.
    fn option(&mut self, byte: &mut u8) {
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
            // Empty lines before a request are allowed; one ends the trailers.
            State::RequestLine | State::Trailer if empty => State::RequestLine,
            State::Name if empty => self.end_head(),
            State::ChunkSize(0) | State::ChunkExtension(0) | State::Trailer => State::Trailer,
            State::ChunkSize(size) | State::ChunkExtension(size) => {
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

    /// What actix reads when the bytes come in pieces of this size.
    fn read(text: &str, piece: usize) -> String {
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
            let half = format!("{whole}GET /{}", "x".repeat(HEAD_LIMIT));
            assert!(is_too_large(&half, piece), "before its end");
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
    fn a_fragment_makes_a_target_illegal_and_is_let_be_elsewhere() {
        let sent = "GET /metrics# HTTP/1.1\r\nHost: a#b\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
        let expected = sent.replacen('#', "\u{7f}", 1);
        for piece in 1..sent.len() {
            assert_eq!(read(sent, piece), expected);
        }
    }

    #[test]
    fn connect_is_no_method_in_any_request_and_other_methods_are_let_be() {
        let sent = "\r\nGET /CONNECT HTTP/1.1\r\nCONNECT: a\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nCONNECT \nCONNEC / HTTP/1.1\r\n\r\n\
                    CCONNECT / HTTP/1.1\r\n\r\nCONNECT a:1 HTTP/1.1\r\n\r\n";
        let expected = sent.replace("T a:1", "\u{7f} a:1");
        for piece in 1..sent.len() {
            assert_eq!(read(sent, piece), expected);
        }
    }

    #[test]
    fn offers_are_changed_in_every_head_and_nothing_else_however_the_bytes_come() {
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
            assert_eq!(read(&sent, piece), expected, "in pieces of {piece} bytes");
        }
    }
}
