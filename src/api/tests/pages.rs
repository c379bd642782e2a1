//! The shopper's page, the console and their files as they are served.

use reqwest::{Method, Response, redirect::Policy};

use super::{Server, no_limits, server_config};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

impl Server {
    /// As a browser that follows no redirect.
    async fn page(&self, method: Method, path: &str, accept: &str) -> Response {
        let http = reqwest::Client::builder().redirect(Policy::none());
        let request = http.build().unwrap();
        let request = request.request(method, format!("{}{path}", self.url));
        request.header("accept", accept).send().await.unwrap()
    }
}

/// The hash that a page names its files by.
fn hash_of(html: &str) -> String {
    let (_, rest) = html.split_once("assets/").expect("the page has files");
    rest.split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn pages_are_revalidated_and_run_nothing_but_their_own_files() {
    let server = Server::start().await;
    for path in ["/", "/admin"] {
        let page = server.page(Method::GET, path, BROWSER).await;
        assert_eq!(page.status(), 200, "{path}");
        let headers = page.headers().clone();
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
        let varies: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(varies, ["accept-encoding, accept", "origin"]);
        assert_eq!(
            headers["content-security-policy"],
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        );
        let html = page.text().await.unwrap();
        assert!(!html.contains("{{assets}}"), "{path}");
        assert!(!html.contains("=\"/"), "{path}: every address is relative");
        let hash = hash_of(&html);
        assert!(
            hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{hash}"
        );

        let again = server.get(path).header("accept", BROWSER);
        let again = again.header("if-none-match", &headers["etag"]);
        assert_eq!(again.send().await.unwrap().status(), 304, "{path}");
        let packed = server.get(path).header("accept", BROWSER);
        let packed = packed.header("accept-encoding", "gzip").send().await;
        assert_eq!(packed.unwrap().headers()["content-encoding"], "gzip");
        let head = server.page(Method::HEAD, path, BROWSER).await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["etag"], headers["etag"]);
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn clients_that_are_no_browsers_are_sent_from_the_root_to_the_documentation() {
    let server = Server::start().await;
    for accept in ["*/*", "application/json", "text/*;q=0.5"] {
        let answer = server.page(Method::GET, "/", accept).await;
        assert_eq!(answer.status(), 308, "{accept}");
        assert_eq!(answer.headers()["location"], "api-docs/");
    }
    let slashed = server.page(Method::GET, "/admin/", BROWSER).await;
    assert_eq!(slashed.status(), 308);
    assert_eq!(slashed.headers()["location"], "../admin");

    let mut config = server_config();
    config.api_docs = false;
    let server = Server::with(config, &no_limits()).await;
    assert_eq!(server.page(Method::GET, "/", "*/*").await.status(), 200);
}

#[tokio::test]
async fn files_are_kept_by_the_hash_of_their_version_alone() {
    let server = Server::start().await;
    let html = server.page(Method::GET, "/", BROWSER).await;
    let hash = hash_of(&html.text().await.unwrap());
    let file = "shared/base.css";
    let asset = |hash: &str| format!("/assets/{hash}/{file}");

    let known = server.page(Method::GET, &asset(&hash), "*/*").await;
    assert_eq!(known.status(), 200);
    let headers = known.headers();
    assert_eq!(
        headers["cache-control"],
        "public, max-age=31536000, immutable"
    );
    assert_eq!(headers["content-type"], "text/css; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let other = server
        .page(Method::GET, &asset("000000000000"), "*/*")
        .await;
    assert_eq!(other.status(), 200, "a node of another version answers");
    assert_eq!(other.headers()["cache-control"], "no-store");
    assert_eq!(known.bytes().await.unwrap(), other.bytes().await.unwrap());

    for missing in [
        "shared/none.css",
        "shop/index.html",
        "../Cargo.toml",
        "..%2fCargo.toml",
        "README.md",
        "vendor/README.md",
        "",
    ] {
        let path = format!("/assets/{hash}/{missing}");
        assert_eq!(
            server.page(Method::GET, &path, "*/*").await.status(),
            404,
            "{missing}"
        );
    }
}

#[tokio::test]
async fn each_page_can_be_switched_off() {
    let mut config = server_config();
    config.pages.shop = false;
    let server = Server::with(config.clone(), &no_limits()).await;
    let root = server.page(Method::GET, "/", BROWSER).await;
    assert_eq!(root.headers()["location"], "api-docs/");
    let admin = server.page(Method::GET, "/admin", BROWSER).await;
    assert_eq!(admin.status(), 200);

    config.pages.admin = false;
    let server = Server::with(config.clone(), &no_limits()).await;
    for path in ["/admin", "/admin/", "/assets/000000000000/shared/base.css"] {
        let answer = server.page(Method::GET, path, BROWSER).await;
        assert_eq!(answer.status(), 404, "{path}");
    }

    config.api_docs = false;
    let server = Server::with(config, &no_limits()).await;
    let root = server.page(Method::GET, "/", BROWSER).await;
    assert_eq!(root.status(), 404);
}

#[tokio::test]
async fn origins_of_images_and_frames_are_those_of_the_settings() {
    let mut config = server_config();
    config.pages.image_origins = vec!["https:".to_owned()];
    config.pages.frame_ancestors = vec!["https://a.example".to_owned(), "https://b.example".into()];
    let server = Server::with(config, &no_limits()).await;
    let page = server.page(Method::GET, "/", BROWSER).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("img-src 'self' data: https:;"), "{policy}");
    let ancestors = "frame-ancestors https://a.example https://b.example;";
    assert!(policy.contains(ancestors), "{policy}");
    let console = server.page(Method::GET, "/admin", BROWSER).await;
    let policy = console.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.contains("img-src 'self' data: https:;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none';"), "{policy}");
}
