//! `GET /api-docs`: the document, and Swagger UI to read it and try it out.
//!
//! Of Swagger UI only its style and its script are served. The page around them is our own (`docs/`): it has no top bar, which
//! would ask for other documents, and names what Swagger UI leaves without a name for screen readers.

use std::sync::{Arc, LazyLock, OnceLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION},
    web::{Bytes, Data, Path},
};

use crate::http::{ApiError, ErrorCode, REVALIDATED, StaticFile};

/// Swagger UI's own scripts and requests to ourselves, and nothing else; it sets styles and draws images from data.
const POLICY: (HeaderName, HeaderValue) = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    ),
);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";

/// Makes the OpenAPI document. It names the handlers below and is therefore given to them.
pub(super) struct DocumentSource(pub(super) fn() -> utoipa::openapi::OpenApi);

/// The document, made when it is first asked for.
static DOCUMENT: OnceLock<StaticFile> = OnceLock::new();

/// The other files by name, made when the first one is asked for.
static FILES: LazyLock<Vec<(&str, StaticFile)>> = LazyLock::new(|| {
    let ours = |content: &'static [u8]| Bytes::from_static(content);
    vec![
        (
            "",
            StaticFile::of(HTML, ours(include_bytes!("docs/index.html"))),
        ),
        (
            "page.css",
            StaticFile::of(STYLE, ours(include_bytes!("docs/page.css"))),
        ),
        (
            "swagger-initializer.js",
            StaticFile::of(SCRIPT, ours(include_bytes!("docs/swagger-initializer.js"))),
        ),
        of_swagger("swagger-ui.css", STYLE),
        of_swagger("swagger-ui-bundle.js", SCRIPT),
        of_swagger("favicon-32x32.png", "image/png"),
    ]
});

/// The package compresses its files when it is built.
fn of_swagger(name: &'static str, content_type: &'static str) -> (&'static str, StaticFile) {
    let config = Arc::new(utoipa_swagger_ui::Config::from(""));
    let file = match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) if file.gzpipped => {
            StaticFile::of_gzip(content_type, file.bytes.into_owned().into())
        }
        Ok(Some(file)) => StaticFile::of(content_type, file.bytes.into_owned().into()),
        Ok(None) | Err(_) => StaticFile::of(content_type, Bytes::new()),
    };
    (name, file)
}

/// To the page, whose files are found relative to the slash at its end. Relative, for a proxy may strip a prefix of the path.
pub(super) async fn index() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, HeaderValue::from_static("api-docs/")))
        .finish()
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
pub async fn openapi(request: HttpRequest, source: Data<DocumentSource>) -> HttpResponse {
    let file = DOCUMENT.get_or_init(|| {
        let document = serde_json::to_vec(&(source.0)()).unwrap_or_default();
        StaticFile::of(JSON, document.into())
    });
    file.answer(&request, REVALIDATED, &[POLICY])
}

/// A file of the page but the document; the page itself when none is named.
pub(super) async fn file(
    name: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    find(&name, &request)
}

fn find(name: &str, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = if name == "index.html" { "" } else { name };
    let file = FILES.iter().find(|(known, _)| *known == name);
    let (_, file) = file.ok_or(ErrorCode::NotFound)?;
    Ok(file.answer(request, REVALIDATED, &[POLICY]))
}
