//! `GET /api-docs`: the document, and Swagger UI to read it and try it out.
//!
//! Of Swagger UI only its style and its script are served. The page around them is our own (`docs/`): it has no top bar, which
//! would ask for other documents, and names what Swagger UI leaves without a name for screen readers.

use std::{
    convert::Infallible,
    io::{Read, Write},
    sync::{Arc, LazyLock, OnceLock},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::header::{
        ACCEPT_ENCODING, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
        ETAG, Encoding, EntityTag, Header, HeaderValue, IfNoneMatch, LOCATION, VARY,
    },
    web::{Bytes, Path},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::{Stream, stream};
use sha2::{Digest, Sha256};

use super::openapi::document;
use crate::http::{ApiError, ErrorCode};

/// Swagger UI's own scripts and requests to ourselves, and nothing else; it sets styles and draws images from data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";
/// Browsers ask every time whether their copy is the current one: after an upgrade, page and document fit together at once.
const CACHING: &str = "no-cache";

/// Bytes of a file that are handed to a connection at once.
const PIECE: usize = 16 * 1024;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";

/// All files, made when the first one is asked for.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let document = serde_json::to_vec(&document()).unwrap_or_default();
    vec![
        File::ours("", HTML, include_bytes!("docs/index.html")),
        File::ours("page.css", STYLE, include_bytes!("docs/page.css")),
        File::ours(
            "swagger-initializer.js",
            SCRIPT,
            include_bytes!("docs/swagger-initializer.js"),
        ),
        File::ours("openapi.json", JSON, &document),
        File::of_swagger("swagger-ui.css", STYLE),
        File::of_swagger("swagger-ui-bundle.js", SCRIPT),
        File::of_swagger("favicon-32x32.png", "image/png"),
    ]
});

/// A file as it is sent.
struct File {
    name: &'static str,
    content_type: &'static str,
    gzip: Bytes,
    /// For the few who take no gzip.
    plain: OnceLock<Bytes>,
    /// Of the content; the tag of what is sent says in which encoding.
    digest: String,
}

impl File {
    fn ours(name: &'static str, content_type: &'static str, content: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let written = encoder.write_all(content).and_then(|()| encoder.finish());
        Self::new(name, content_type, written.unwrap_or_default().into())
    }

    /// The package compresses its files when it is built.
    fn of_swagger(name: &'static str, content_type: &'static str) -> Self {
        let config = Arc::new(utoipa_swagger_ui::Config::from(""));
        match utoipa_swagger_ui::serve(name, config) {
            Ok(Some(file)) if file.gzpipped => {
                Self::new(name, content_type, file.bytes.into_owned().into())
            }
            Ok(Some(file)) => Self::ours(name, content_type, &file.bytes),
            Ok(None) | Err(_) => Self::ours(name, content_type, b""),
        }
    }

    fn new(name: &'static str, content_type: &'static str, gzip: Bytes) -> Self {
        let hash = Sha256::digest(&gzip);
        let digest = hash.iter().take(12).map(|byte| format!("{byte:02x}"));
        Self {
            name,
            content_type,
            digest: digest.collect(),
            gzip,
            plain: OnceLock::new(),
        }
    }

    fn plain(&self) -> Bytes {
        let unpack = || {
            let mut plain = Vec::new();
            // What was packed here, or by the package, can be read.
            let _ = GzDecoder::new(&self.gzip[..]).read_to_end(&mut plain);
            plain.into()
        };
        self.plain.get_or_init(unpack).clone()
    }

    /// The file in the encoding that the client takes, or 304 when it has it already (RFC 9110, 13.1.2).
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let gzip = takes_gzip(request);
        let tag = if gzip { "gzip" } else { "plain" };
        let tag = EntityTag::new_strong(format!("{}-{tag}", self.digest));
        let known = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
            Err(_) => false,
        };
        let mut answer = if known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header((ETAG, tag))
            .insert_header((VARY, HeaderValue::from_name(ACCEPT_ENCODING)))
            .insert_header((CACHE_CONTROL, HeaderValue::from_static(CACHING)))
            .insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)));
        if known {
            return answer.finish();
        }
        answer.content_type(self.content_type);
        if gzip {
            answer.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            answer.body(in_pieces(self.gzip.clone()))
        } else {
            answer.body(in_pieces(self.plain()))
        }
    }
}

/// A client that says nothing of encodings, as curl, gets none.
fn takes_gzip(request: &HttpRequest) -> bool {
    let offered = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(ACCEPT_ENCODING)
        && AcceptEncoding::parse(request)
            .is_ok_and(|accepted| accepted.negotiate(offered.iter()) == Some(Encoding::gzip()))
}

/// To the page, whose files are found relative to the slash at its end. Relative, for a proxy may strip a prefix of the path.
pub(super) async fn index() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, HeaderValue::from_static("api-docs/")))
        .finish()
}

/// The same bytes, passed on piece by piece as the client reads: a body of one piece would be copied whole into the buffer of each
/// connection, and a thousand clients that do not read would hold hundreds of megabytes.
fn in_pieces(content: Bytes) -> SizedStream<impl Stream<Item = Result<Bytes, Infallible>>> {
    let length = content.len();
    let pieces = (0..length)
        .step_by(PIECE)
        .map(move |start| Ok(content.slice(start..length.min(start + PIECE))));
    SizedStream::new(length as u64, stream::iter(pieces))
}

/// The OpenAPI document.
///
/// It is read by the page `/api-docs`, and by generators of clients.
#[utoipa::path(
    get, path = "/api-docs/openapi.json", operation_id = "openapiDocument", security(()), tag = "Operation",
    responses(
        (status = 200, description = "This document.", body = Object, headers(("ETag" = String, description = "For `If-None-Match`"))),
        (status = 304, description = "It is the one that `If-None-Match` names.")
    )
)]
pub async fn openapi(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    find("openapi.json", &request)
}

/// A file of the page; the page itself when none is named.
pub(super) async fn file(
    name: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    find(&name, &request)
}

fn find(name: &str, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = if name == "index.html" { "" } else { name };
    let file = FILES.iter().find(|file| file.name == name);
    Ok(file.ok_or(ErrorCode::NotFound)?.answer(request))
}
