//! A file that is served from memory. It is compressed once, has a tag made of its content, and is sent in pieces.

use std::{
    convert::Infallible,
    fmt::Write as _,
    io::{Read, Write as _},
    sync::OnceLock,
};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::header::{
        ACCEPT_ENCODING, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, Encoding, EntityTag,
        Header, HeaderName, HeaderValue, VARY,
    },
    web::Bytes,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::{Stream, stream};
use sha2::{Digest, Sha256};

use super::tagged;

/// Makes browsers ask every time whether their copy is the current one. So page and files fit together right after an upgrade.
pub const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// Length of the pieces in which a file is handed to a connection, in bytes.
const PIECE: usize = 16 * 1024;

/// A file with its type, in the encodings in which it is sent.
pub struct StaticFile {
    content_type: &'static str,
    /// Either this or `plain` is set from the beginning. The other one is made when a client first asks for it.
    gzip: OnceLock<Bytes>,
    plain: OnceLock<Bytes>,
    /// The digest of the content. The tag of a response adds its encoding to the digest.
    digest: String,
}

impl StaticFile {
    #[must_use]
    pub fn of(content_type: &'static str, content: Bytes) -> Self {
        Self {
            content_type,
            digest: digest_of(&content),
            gzip: OnceLock::new(),
            plain: OnceLock::from(content),
        }
    }

    /// A file of a package that compressed it when it was built.
    #[must_use]
    pub fn of_gzip(content_type: &'static str, gzip: Bytes) -> Self {
        Self {
            content_type,
            digest: digest_of(&gzip),
            gzip: OnceLock::from(gzip),
            plain: OnceLock::new(),
        }
    }

    /// The file in the encoding that the client takes, or 304 if it has it already (RFC 9110, 13.1.2).
    #[must_use]
    pub fn answer(
        &self,
        request: &HttpRequest,
        caching: HeaderValue,
        headers: &[(HeaderName, HeaderValue)],
    ) -> HttpResponse {
        let gzip = takes_gzip(request);
        let encoding = if gzip { "gzip" } else { "plain" };
        let tag = EntityTag::new_strong(format!("{}-{encoding}", self.digest));
        let (mut answer, is_known) = tagged(request, tag);
        answer
            .insert_header((CACHE_CONTROL, caching))
            .append_header((VARY, HeaderValue::from_name(ACCEPT_ENCODING)));
        for (name, value) in headers {
            answer.append_header((name.clone(), value.clone()));
        }
        if is_known {
            return answer.finish();
        }
        answer.content_type(self.content_type);
        if gzip {
            answer.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            in_pieces(&mut answer, self.gzip())
        } else {
            in_pieces(&mut answer, self.plain())
        }
    }

    fn gzip(&self) -> Bytes {
        let pack = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // Writing to memory does not fail.
            let written = encoder.write_all(&self.plain());
            written
                .and_then(|()| encoder.finish())
                .unwrap_or_default()
                .into()
        };
        self.gzip.get_or_init(pack).clone()
    }

    fn plain(&self) -> Bytes {
        let unpack = || {
            let mut plain = Vec::new();
            if let Some(gzip) = self.gzip.get() {
                // The package's own bytes can be read.
                let _ = GzDecoder::new(&gzip[..]).read_to_end(&mut plain);
            }
            plain.into()
        };
        self.plain.get_or_init(unpack).clone()
    }
}

/// The digest of a content: the first 12 bytes of its SHA-256, which are enough to tell versions apart.
fn digest_of(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hex(hash.get(..12).unwrap_or_default())
}

/// These bytes in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// True if the client accepts gzip. A client that names no encodings, such as curl, gets the file uncompressed.
fn takes_gzip(request: &HttpRequest) -> bool {
    let offered = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(ACCEPT_ENCODING)
        && AcceptEncoding::parse(request)
            .is_ok_and(|accepted| accepted.negotiate(offered.iter()) == Some(Encoding::gzip()))
}

/// Sends the bytes piece by piece as the client reads. A body of one piece would be copied as a whole into the buffer of each
/// connection, and a thousand clients that do not read would hold hundreds of megabytes.
fn in_pieces(answer: &mut HttpResponseBuilder, content: Bytes) -> HttpResponse {
    answer.body(SizedStream::new(content.len() as u64, pieces(content)))
}

fn pieces(content: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let length = content.len();
    let pieces = (0..length)
        .step_by(PIECE)
        .map(move |start| Ok(content.slice(start..length.min(start + PIECE))));
    stream::iter(pieces)
}
