//! `GET /api-docs`: the document, and Swagger UI to read it and try it out.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION,
    },
    web::{Bytes, Data, Path},
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::http::{ApiError, ErrorCode};

/// Swagger UI's own scripts and requests to ourselves, and nothing else; it sets styles and draws images from data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// The document as bytes, and Swagger UI's settings.
pub(super) struct Docs {
    document: Bytes,
    ui: Arc<Config<'static>>,
}

impl Docs {
    pub(super) fn new(document: &OpenApi) -> Self {
        let ui = Config::from("openapi.json")
            .display_request_duration(true)
            .persist_authorization(true)
            // Without it the page asks a foreign server to check the document.
            .validator_url("none");
        Self {
            document: serde_json::to_vec(document).unwrap_or_default().into(),
            ui: Arc::new(ui),
        }
    }
}

/// To the page, whose files are found relative to the slash at its end. Relative, for a proxy may strip a prefix of the path.
pub(super) async fn index() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, HeaderValue::from_static("api-docs/")))
        .finish()
}

/// The OpenAPI document.
#[utoipa::path(
    get, path = "/api-docs/openapi.json", operation_id = "openapiDocument", tag = "Operation",
    responses((status = 200, description = "This document.", body = Object))
)]
pub async fn openapi(docs: Data<Docs>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(docs.document.clone())
}

/// A file of Swagger UI; its page when none is named.
pub(super) async fn file(name: Path<String>, docs: Data<Docs>) -> Result<HttpResponse, ApiError> {
    let found = utoipa_swagger_ui::serve(&name, Arc::clone(&docs.ui)).map_err(|error| {
        tracing::error!(%error, "a file of Swagger UI cannot be served");
        ErrorCode::Internal
    })?;
    let SwaggerFile {
        bytes,
        content_type,
        gzpipped,
        ..
    } = found.ok_or(ErrorCode::NotFound)?;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(content_type)
        .insert_header((
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ))
        .insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)));
    if gzpipped {
        answer.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    }
    Ok(answer.body(bytes.into_owned()))
}
