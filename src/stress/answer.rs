//! One answer of a server, read from whatever pieces it arrives in. Bytes only: it neither reads nor waits.

/// A longer head is refused.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// A longer body is refused.
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
const HEADERS_MAX: usize = 64;
/// A line of a chunked body: its size in hexadecimal, or a trailer.
const LINE_MAX_BYTES: usize = 8 * 1024;

/// An answer that is there to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    /// In seconds, as `Retry-After` says it.
    pub retry_after_secs: Option<u64>,
    pub body: &'a [u8],
}

/// Why the bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is not HTTP")]
    NotHttp,
    #[error("it is too large")]
    TooLarge,
}

/// The bytes of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// What arrived. The reader appends here, then calls `advance`.
    pub(super) bytes: Vec<u8>,
    head: Option<Head>,
    /// The body of a chunked answer, without its frame.
    chunks: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    retry_after_secs: Option<u64>,
    /// Where the body begins.
    body: usize,
    framing: Framing,
    closes: bool,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(usize),
    /// The next chunk's size line, or trailer once the last chunk was there, begins here.
    Chunked {
        at: usize,
        trailers: bool,
    },
    UntilClose,
}

impl Incoming {
    /// Makes room for the next answer. The memory of an unusually large one is given back.
    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > HEAD_MAX_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.chunks.clear();
        self.head = None;
    }

    /// Looks at what has arrived; true once the answer is complete.
    pub(super) fn advance(&mut self) -> Result<bool, Unreadable> {
        while self.head.is_none() {
            let Some(head) = read_head(&self.bytes)? else {
                return Ok(false);
            };
            if (100..200).contains(&head.status) {
                // Not the answer yet.
                self.bytes.drain(..head.body);
            } else {
                self.head = Some(head);
            }
        }
        let Some(head) = &mut self.head else {
            return Ok(false);
        };
        let arrived = self.bytes.len().saturating_sub(head.body);
        match &mut head.framing {
            Framing::Length(length) => Ok(arrived >= *length),
            Framing::UntilClose if arrived > BODY_MAX_BYTES => Err(Unreadable::TooLarge),
            Framing::UntilClose => Ok(false),
            Framing::Chunked { at, trailers } => {
                unchunk(&self.bytes, at, trailers, &mut self.chunks)
            }
        }
    }

    /// The server has closed the connection: true if that was the answer's end.
    pub(super) fn is_complete_at_close(&self) -> bool {
        let framing = self.head.as_ref().map(|head| head.framing);
        matches!(framing, Some(Framing::UntilClose))
    }

    /// True if nothing may be sent after a complete answer: the server said so, or said more than it should.
    pub(super) fn closes(&self) -> bool {
        self.head.as_ref().is_none_or(|head| {
            let end = match head.framing {
                Framing::Length(length) => head.body.saturating_add(length),
                Framing::Chunked { at, .. } => at,
                Framing::UntilClose => return true,
            };
            head.closes || self.bytes.len() > end
        })
    }

    /// The answer, once it is complete.
    pub(super) fn answer(&self) -> Option<Answer<'_>> {
        let head = self.head.as_ref()?;
        let body = match head.framing {
            Framing::Length(length) => self.bytes.get(head.body..head.body + length)?,
            Framing::Chunked { .. } => &self.chunks,
            Framing::UntilClose => self.bytes.get(head.body..)?,
        };
        Some(Answer {
            status: head.status,
            retry_after_secs: head.retry_after_secs,
            body,
        })
    }
}

/// The head, once all of it is there.
fn read_head(bytes: &[u8]) -> Result<Option<Head>, Unreadable> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let body = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_MAX_BYTES => {
            return Err(Unreadable::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Unreadable::TooLarge),
        Err(_) => return Err(Unreadable::NotHttp),
    };
    let status = response.code.ok_or(Unreadable::NotHttp)?;
    let mut head = Head {
        status,
        retry_after_secs: None,
        body,
        framing: Framing::UntilClose,
        closes: response.version == Some(0),
    };
    let (mut length, mut chunked) = (None, false);
    for header in &*response.headers {
        let name = header.name;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(whole_number(header.value).ok_or(Unreadable::NotHttp)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = has_token(header.value, b"chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.closes = if head.closes {
                !has_token(header.value, b"keep-alive")
            } else {
                has_token(header.value, b"close")
            };
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after_secs = whole_number(header.value);
        }
    }
    if status == 204 || status == 304 {
        head.framing = Framing::Length(0);
    } else if chunked {
        let (at, trailers) = (body, false);
        head.framing = Framing::Chunked { at, trailers };
    } else if let Some(length) = length {
        let length = usize::try_from(length).map_err(|_| Unreadable::TooLarge)?;
        if length > BODY_MAX_BYTES {
            return Err(Unreadable::TooLarge);
        }
        head.framing = Framing::Length(length);
    }
    Ok(Some(head))
}

/// Moves complete chunks to `body`; true at the end of the last trailer.
fn unchunk(
    bytes: &[u8],
    at: &mut usize,
    trailers: &mut bool,
    body: &mut Vec<u8>,
) -> Result<bool, Unreadable> {
    // With the frame: chunks of a byte with long extensions would else fit into the body.
    if bytes.len() > HEAD_MAX_BYTES + 2 * BODY_MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    loop {
        let rest = bytes.get(*at..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return if rest.len() > LINE_MAX_BYTES {
                Err(Unreadable::TooLarge)
            } else {
                Ok(false)
            };
        };
        if *trailers {
            *at += end + 2;
            if end == 0 {
                return Ok(true);
            }
            continue;
        }
        let size = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((_, size))) => size,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(Unreadable::NotHttp),
        };
        let size = usize::try_from(size).map_err(|_| Unreadable::TooLarge)?;
        let data = end + 2;
        if size == 0 {
            *at += data;
            *trailers = true;
            continue;
        }
        if size > BODY_MAX_BYTES - body.len().min(BODY_MAX_BYTES) {
            return Err(Unreadable::TooLarge);
        }
        let (Some(chunk), Some(ending)) = (
            rest.get(data..data + size),
            rest.get(data + size..data + size + 2),
        ) else {
            return Ok(false);
        };
        if ending != b"\r\n" {
            return Err(Unreadable::NotHttp);
        }
        body.extend_from_slice(chunk);
        *at += data + size + 2;
    }
}

fn whole_number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body and whether the connection ends with it, of bytes that arrive in pieces of this size.
    fn read(text: &[u8], piece: usize) -> Result<Option<(u16, String, bool)>, Unreadable> {
        let mut incoming = Incoming::default();
        for piece in text.chunks(piece) {
            incoming.bytes.extend_from_slice(piece);
            if incoming.advance()? {
                let answer = incoming.answer().unwrap();
                let body = String::from_utf8(answer.body.to_vec()).unwrap();
                return Ok(Some((answer.status, body, incoming.closes())));
            }
        }
        Ok(None)
    }

    fn read_in_every_way(text: &str) -> (u16, String, bool) {
        let whole = read(text.as_bytes(), text.len()).unwrap().unwrap();
        for piece in 1..text.len() {
            assert_eq!(
                read(text.as_bytes(), piece).unwrap().as_ref(),
                Some(&whole),
                "in pieces of {piece}"
            );
        }
        whole
    }

    #[test]
    fn an_answer_is_the_same_in_whatever_pieces_it_arrives() {
        let text = "HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nhello";
        assert_eq!(read_in_every_way(text), (409, "hello".to_owned(), false));
        let empty = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read_in_every_way(empty), (204, String::new(), false));
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(read_in_every_way(interim), (200, "ok".to_owned(), false));
    }

    #[test]
    fn chunks_are_put_together_and_their_trailers_passed_over() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    4;name=value\r\nWiki\r\nB\r\npedia\r\n in \r\n0\r\nx: y\r\n\r\n";
        let body = "Wikipedia\r\n in ".to_owned();
        assert_eq!(read_in_every_way(text), (200, body, false));
        let wrong = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWikipedia\r\n";
        assert_eq!(read(wrong, 9), Err(Unreadable::NotHttp));
    }

    #[test]
    fn it_is_known_when_a_connection_ends_with_its_answer() {
        let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n");
        let closes = |text: &str| {
            let (_, _, closes) = read(text.as_bytes(), text.len()).unwrap().unwrap();
            closes
        };
        assert!(!closes(&head("content-length: 0\r\n")));
        assert!(closes(&head("content-length: 0\r\nConnection: Close\r\n")));
        assert!(closes("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(
            closes(&(head("content-length: 0\r\n") + "more")),
            "what follows belongs to nobody"
        );
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let mut incoming = Incoming::default();
        let text = b"HTTP/1.1 200 OK\r\n\r\nuntil the end";
        incoming.bytes.extend_from_slice(text);
        assert_eq!(incoming.advance(), Ok(false));
        assert!(incoming.is_complete_at_close());
        assert_eq!(incoming.answer().unwrap().body, b"until the end");
    }

    #[test]
    fn what_is_too_large_or_no_http_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(HEAD_MAX_BYTES));
        assert_eq!(read(long.as_bytes(), long.len()), Err(Unreadable::TooLarge));
        for (text, why) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
                Unreadable::TooLarge,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFF\r\n",
                Unreadable::TooLarge,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
                Unreadable::NotHttp,
            ),
            ("SSH-2.0-OpenSSH_9.2p1\r\n", Unreadable::NotHttp),
        ] {
            assert_eq!(read(text.as_bytes(), text.len()), Err(why), "{text}");
        }
    }
}
