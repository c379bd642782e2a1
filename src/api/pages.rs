//! The shopper's page at `/`, the operators' console at `/admin`, and their files at `/assets/<hash>/<path under web/>`.
//!
//! The files are those of `web/`, embedded in the program; `files` reads them. A debug build reads them from disk for every
//! request, so that a page can be edited without compiling.

mod files;
mod source;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, VARY},
    web::{Data, Path},
};

use super::docs;
use crate::{
    config::PagesConfig,
    http::{ApiError, ErrorCode, REVALIDATED},
};
use files::{Page, Site};

/// For files whose address has the hash of their content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For files that were asked for by the hash of another version.
const NEVER: HeaderValue = HeaderValue::from_static("no-store");
/// What a page depends on: `/` is another answer for clients that accept no HTML.
const VARIES: HeaderValue = HeaderValue::from_static("accept-encoding, accept");
const OPENER_POLICY: (HeaderName, HeaderValue) = (
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderValue::from_static("same-origin"),
);

/// What the settings say of the pages.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    shop: bool,
    /// Whether `/` leads clients that are no browsers to the documentation.
    docs: bool,
    shop_policy: HeaderValue,
    console_policy: HeaderValue,
}

impl Pages {
    pub(super) fn new(config: &PagesConfig, docs: bool) -> Self {
        let mut images = vec!["'self'", "data:"];
        images.extend(config.image_origins.iter().map(String::as_str));
        let images = images.join(" ");
        let ancestors = if config.frame_ancestors.is_empty() {
            "'none'".to_owned()
        } else {
            config.frame_ancestors.join(" ")
        };
        let policy = |ancestors: &str| {
            format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}; require-trusted-types-for 'script'; trusted-types 'none'"
            )
        };
        // The settings were read as origins, which have no character that a header may not have.
        let policy = |ancestors| {
            HeaderValue::try_from(policy(ancestors))
                .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
        };
        Self {
            shop: config.shop,
            docs,
            shop_policy: policy(&ancestors),
            // A click in a frame of another page must pause no sale.
            console_policy: policy("'none'"),
        }
    }

    fn page(&self, page: Page, request: &HttpRequest) -> HttpResponse {
        let policy = match page {
            Page::Shop => &self.shop_policy,
            Page::Console => &self.console_policy,
        };
        let headers = [(CONTENT_SECURITY_POLICY, policy.clone()), OPENER_POLICY];
        let mut answer = Site::current()
            .page(page)
            .answer(request, REVALIDATED, &headers);
        // One header: the CORS middleware adds to the first one and drops others.
        answer.headers_mut().insert(VARY, VARIES);
        answer
    }
}

/// `/`: the shopper's page for browsers. Other clients are sent to the documentation, unless it is switched off.
pub(super) async fn index(pages: Data<Pages>, request: HttpRequest) -> HttpResponse {
    if pages.shop && (wants_html(&request) || !pages.docs) {
        pages.page(Page::Shop, &request)
    } else {
        docs::index().await
    }
}

/// `/admin`: the operators' console. It has no data of its own: the API behind it checks rights.
pub(super) async fn console(pages: Data<Pages>, request: HttpRequest) -> HttpResponse {
    pages.page(Page::Console, &request)
}

/// `/admin/`, to the address whose files and requests are found. Relative, for a proxy may strip a prefix of the path.
pub(super) async fn console_with_slash() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, HeaderValue::from_static("../admin")))
        .finish()
}

/// A file of a page. During a rolling deployment a node is asked for files by the hash of another version: it answers with its
/// own, which nobody may keep.
pub(super) async fn asset(
    path: Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (hash, name) = path.into_inner();
    let site = Site::current();
    let file = site.asset(&name).ok_or(ErrorCode::NotFound)?;
    if hash == site.hash() {
        Ok(file.answer(&request, FOREVER, &[]))
    } else {
        Ok(file.answer(&request, NEVER, &[]))
    }
}

/// Whether a client names HTML among what it accepts, as browsers do. `*/*`, which curl sends, names nothing.
fn wants_html(request: &HttpRequest) -> bool {
    let lines = request.headers().get_all(ACCEPT);
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|item| item.split(';').next())
        .any(|name| name.trim().eq_ignore_ascii_case("text/html"))
}
