//! Offers to upgrade, bodies as other clients write them, the documentation behind a proxy and switched off.

use reqwest::redirect::Policy;

use super::{Server, no_limits, server_config};

#[tokio::test]
async fn an_offer_to_upgrade_is_ignored_and_the_connection_goes_on() {
    let server = Server::start().await;
    let body = r#"{"username":"nobody","password":"secret-word"}"#;
    let length = body.len();
    for upgrade in ["h2c", "websocket", "WebSocket, h2c"] {
        let offer =
            format!("Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n");
        let login = format!(
            "POST /api/auth/login HTTP/1.1\r\n{offer}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let health = format!("GET /health HTTP/1.1\r\n{offer}\r\n");
        let last = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answers = server.raw(&format!("{health}{login}{health}{last}")).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 401 ").count(), 1, "{answers}");
        assert!(
            !answers.to_lowercase().contains("connection: upgrade"),
            "{answers}"
        );
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_read_and_a_positional_body_is_not() {
    let server = Server::start().await;
    let login = async |body: &str| {
        let request = server.post("/api/auth/login").body(body.to_owned());
        let request = request.header("content-type", "application/json");
        request.send().await.unwrap().status().as_u16()
    };
    let object = r#"{"username":"nobody","password":"secret-word"}"#;
    assert_eq!(login(object).await, 401);
    assert_eq!(login(&format!("\u{feff}{object}")).await, 401);
    assert_eq!(login(&format!("\u{feff}\u{feff}{object}")).await, 400);
    assert_eq!(login(r#"["nobody","secret-word"]"#).await, 400);
    assert_eq!(login(" \n[\"nobody\",\"secret-word\"]").await, 400);
}

#[tokio::test]
async fn the_documentation_names_no_path_from_the_root() {
    let server = Server::start().await;
    let http = reqwest::Client::builder().redirect(Policy::none());
    let http = http.build().unwrap();
    for path in ["/", "/api-docs"] {
        let answer = http.get(format!("{}{path}", server.url)).send().await;
        assert_eq!(answer.unwrap().headers()["location"], "api-docs/");
    }
    let settings = server.get("/api-docs/swagger-initializer.js").send().await;
    let settings = settings.unwrap().text().await.unwrap();
    assert!(settings.contains("\"openapi.json\"") && !settings.contains("/api-docs"));
}

#[tokio::test]
async fn the_documentation_can_be_switched_off() {
    let mut config = server_config();
    config.api_docs = false;
    config.pages.shop = false;
    let server = Server::with(config, &no_limits()).await;
    for path in ["/", "/api-docs", "/api-docs/", "/api-docs/openapi.json"] {
        assert_eq!(
            server.get(path).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
    assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
}
