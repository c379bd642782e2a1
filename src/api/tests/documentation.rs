//! Swagger UI, the document, health and metrics as they are served.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::Server;

#[tokio::test]
async fn swagger_ui_is_found_with_and_without_the_slash() {
    let server = Server::start().await;
    for path in ["/api-docs", "/api-docs/", "/"] {
        let page = server.get(path).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(
            page.url().path(),
            "/api-docs/",
            "its files are relative to the slash"
        );
        assert!(
            page.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/html")
        );
        let html = page.text().await.unwrap();
        assert!(html.contains(r#"name="viewport""#), "it fits a phone");
        for file in [
            "swagger-ui.css",
            "page.css",
            "swagger-ui-bundle.js",
            "swagger-initializer.js",
            "favicon-32x32.png",
        ] {
            assert!(html.contains(file), "{file}");
            let file = server
                .get(&format!("/api-docs/{file}"))
                .send()
                .await
                .unwrap();
            assert_eq!(file.status(), 200);
            assert!(!file.bytes().await.unwrap().is_empty());
        }
        assert!(!html.contains("standalone"), "there is no top bar");
        assert!(
            !html.contains("<script>"),
            "the policy lets no inline scripts run"
        );
    }
    let settings = server
        .get("/api-docs/swagger-initializer.js")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(settings.contains("\"openapi.json\""), "{settings}");
    assert!(settings.contains("validatorUrl: null"), "{settings}");
}

#[tokio::test]
async fn the_page_is_sent_packed_and_only_when_it_is_new() {
    let server = Server::start().await;
    for file in ["", "openapi.json", "swagger-ui-bundle.js", "swagger-ui.css"] {
        let path = format!("/api-docs/{file}");
        let plain = server.get(&path).send().await.unwrap();
        assert!(!plain.headers().contains_key("content-encoding"), "{file}");
        let plain_tag = plain.headers()["etag"].clone();
        let plain = plain.bytes().await.unwrap();

        let packed = || {
            let request = server.get(&path);
            request.header("accept-encoding", "gzip, deflate, br, zstd")
        };
        let answer = packed().send().await.unwrap();
        let headers = answer.headers().clone();
        assert_eq!(headers["content-encoding"], "gzip", "{file}");
        let vary = headers["vary"].to_str().unwrap();
        assert!(vary.contains("accept-encoding"), "{vary}");
        assert_ne!(headers["etag"], plain_tag, "other bytes, another tag");
        let gzip = answer.bytes().await.unwrap();
        assert!(gzip.len() < plain.len(), "{file}");
        let mut unpacked = Vec::new();
        GzDecoder::new(&gzip[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(unpacked == plain, "{file}: both are the same file");

        let again = packed().header("if-none-match", &headers["etag"]);
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), 304, "{file}");
        assert_eq!(again.headers()["etag"], headers["etag"]);
        assert!(again.bytes().await.unwrap().is_empty());
        let other = packed().header("if-none-match", "\"other\"");
        assert_eq!(other.send().await.unwrap().status(), 200, "{file}");
    }
    let refuses = server
        .get("/api-docs/")
        .header("accept-encoding", "gzip;q=0");
    let answer = refuses.send().await.unwrap();
    assert!(!answer.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn the_document_is_served() {
    let server = Server::start().await;
    let response = server.get("/api-docs/openapi.json").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let document: Value = response.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let attempt = &document["paths"]["/api/flash-sale/attempt/{saleId}"]["post"];
    let example = &attempt["responses"]["409"]["content"]["application/json"]["examples"]["sold_out"]
        ["value"];
    assert_eq!(example["message"], "Sorry, the item is out of stock.");
    assert!(attempt["responses"]["503"]["headers"]["Retry-After"].is_object());
    let fields = &document["components"]["schemas"]["RegistrationForm"]["required"];
    assert_eq!(
        fields,
        &serde_json::json!(["username", "email", "password"])
    );
}

#[tokio::test]
async fn health_and_metrics_ask_nobody() {
    let server = Server::start().await;
    let health: Value = server
        .get("/health")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health["status"], "ok");
    let at = health["timestamp"].as_str().unwrap();
    assert!(
        at.len() == "2024-01-01T00:00:00.000Z".len() && at.ends_with('Z'),
        "{at}"
    );
    assert_eq!(
        server
            .get("/metrics")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "up 1\n"
    );
}
