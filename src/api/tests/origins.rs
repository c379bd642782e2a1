//! CORS.

use reqwest::{Method, Response};

use super::{Server, no_limits, server_config, token};

async fn preflight(server: &Server, origin: &str) -> Response {
    let url = format!("{}/api/flash-sale/attempt/1", server.url);
    let request = server
        .http
        .request(Method::OPTIONS, url)
        .header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    request
        .header(
            "access-control-request-headers",
            "authorization,content-type,traceparent,baggage,sentry-trace,x-request-id,x-requested-with,x-datadog-trace-id,x-b3-traceid",
        )
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_known_origin_may_call() {
    let server = Server::with_origins(&["https://shop.example", "https://other.example/"]).await;
    for origin in ["https://shop.example", "https://other.example"] {
        let response = preflight(&server, origin).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], origin);
        assert_eq!(headers["access-control-max-age"], "3600");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        let allowed = headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .to_lowercase();
        assert!(
            allowed.contains("authorization") && allowed.contains("x-datadog-trace-id"),
            "{allowed}"
        );
    }
    let answer = server
        .post("/api/flash-sale/attempt/x")
        .bearer_auth(token())
        .header("origin", "https://shop.example");
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 400, "failures can be read by pages too");
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://shop.example"
    );
    let exposed = answer.headers()["access-control-expose-headers"]
        .to_str()
        .unwrap();
    let mut exposed: Vec<String> = exposed
        .split(',')
        .map(|name| name.trim().to_lowercase())
        .collect();
    exposed.sort_unstable();
    assert_eq!(
        exposed,
        [
            "etag",
            "idempotency-replayed",
            "location",
            "retry-after",
            "traceparent",
            "x-request-id"
        ]
    );
}

#[tokio::test]
async fn pages_of_operators_may_change_and_delete() {
    let server = Server::with_origins(&["https://shop.example"]).await;
    for (method, allowed) in [
        ("PATCH", true),
        ("DELETE", true),
        ("PUT", true),
        ("TRACE", false),
    ] {
        let request = server
            .http
            .request(Method::OPTIONS, format!("{}/api/admin/sales/1", server.url))
            .header("origin", "https://shop.example")
            .header("access-control-request-method", method)
            .header(
                "access-control-request-headers",
                "authorization,content-type,if-match,idempotency-key",
            );
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status() == 200, allowed, "{method}");
        if allowed {
            let headers = answer.headers()["access-control-allow-headers"]
                .to_str()
                .unwrap()
                .to_lowercase();
            assert!(
                headers.contains("if-match") && headers.contains("idempotency-key"),
                "{headers}"
            );
        }
    }
}

#[tokio::test]
async fn a_strange_origin_is_not_let_in() {
    let server = Server::with_origins(&["https://shop.example"]).await;
    for origin in [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example.evil.example",
        "null",
    ] {
        let refused = preflight(&server, origin).await;
        assert!(
            refused
                .headers()
                .get("access-control-allow-origin")
                .is_none(),
            "{origin}"
        );
        assert_eq!(refused.status(), 400);
        let body: serde_json::Value = refused.json().await.unwrap();
        assert_eq!(
            (&body["success"], &body["code"]),
            (&false.into(), &"bad_request".into())
        );
        let answer = server
            .get("/health")
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        assert!(
            answer
                .headers()
                .get("access-control-allow-origin")
                .is_none(),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn a_star_lets_all_in() {
    let server = Server::with_origins(&["*"]).await;
    assert_eq!(
        preflight(&server, "https://any.example").await.headers()["access-control-allow-origin"],
        "*"
    );
}

#[tokio::test]
async fn in_development_pages_of_this_machine_may_call() {
    let server = Server::start().await;
    for origin in [
        "http://localhost:5173",
        "https://localhost",
        "http://127.0.0.1:3001",
        "http://[::1]:8080",
    ] {
        assert_eq!(
            preflight(&server, origin).await.headers()["access-control-allow-origin"],
            origin
        );
    }
    for origin in [
        "http://localhost.evil.example",
        "http://localhost:x",
        "http://evil.example",
        "null",
    ] {
        let headers = preflight(&server, origin).await.headers().clone();
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn an_answer_to_no_page_has_no_headers_of_cors_and_is_cached_for_no_page() {
    let server = Server::start().await;
    let url = format!("{}/api/time", server.url);
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.headers()["vary"], "origin");
    let mut names = answer.headers().keys();
    assert!(!names.any(|name| name.as_str().starts_with("access-control")));
    let client = reqwest::Client::new();
    let of_page = client.get(&url).header("origin", "http://localhost:5173");
    let answer = of_page.send().await.unwrap();
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "http://localhost:5173"
    );
}

#[tokio::test]
async fn in_production_without_origins_there_is_no_cors() {
    let mut config = server_config();
    config.production = true;
    let server = Server::with(config, &no_limits()).await;
    let response = preflight(&server, "https://shop.example").await;
    assert_eq!(response.status(), 405);
    assert!(
        !response
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    );
}
