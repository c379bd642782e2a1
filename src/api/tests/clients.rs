//! Requests as other clients write them: what they send along, and what they do with a connection.

use std::time::Duration;

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Server, failure, token};

/// What Java's `HttpClient` sends with its default settings.
#[tokio::test]
async fn presses_of_a_java_client_are_answered_on_one_connection() {
    let server = Server::start().await;
    let press = format!(
        "POST /api/flash-sale/attempt/x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n\
         Host: localhost:3000\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n\
         User-Agent: Java-http-client/17.0.15\r\nAuthorization: Bearer {}\r\n\r\n",
        token()
    );
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();
    for _ in 0..20 {
        stream.write_all(press.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut part = [0; 2048];
            let read = timeout(Duration::from_secs(5), stream.read(&mut part));
            let length = read.await.unwrap().unwrap();
            assert!(length > 0, "closed after {answer}");
            answer += std::str::from_utf8(&part[..length]).unwrap();
        }
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("\"invalid_id\""), "{answer}");
        assert!(!answer.contains("connection: "), "{answer}");
    }
}

/// The template for web sockets: `Connection: upgrade` with every request, `Upgrade` only if the client sent one.
#[tokio::test]
async fn requests_through_nginx_with_its_websocket_template_are_answered_on_one_connection() {
    let server = Server::start().await;
    let body = r#"{"username":"nobody","password":"secret-word"}"#;
    let post = |upgrade: &str| {
        format!(
            "POST /api/auth/login HTTP/1.1\r\nHost: a\r\n{upgrade}Connection: upgrade\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\n\r\n{body}",
            body.len()
        )
    };
    let last = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let requests = post("") + &post("Upgrade: websocket\r\n") + &post("") + last;
    let answers = server.raw(&requests).await;
    assert_eq!(answers.matches("HTTP/1.1 401 ").count(), 3, "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK"), "{answers}");
}

#[tokio::test]
async fn failures_can_be_read_by_pages_of_other_origins() {
    let server = Server::with_origins(&["https://shop.example"]).await;
    let json = |text: String| {
        let request = server.post("/api/auth/login").body(text);
        request.header("content-type", "application/json")
    };
    let wrong_method = server.get("/api/auth/login");
    for (status, request) in [
        (400, json("{".to_owned())),
        (401, server.get("/api/flash-sale/status")),
        (404, server.get("/nothing")),
        (405, wrong_method),
        (413, json(" ".repeat(20_000))),
        (415, server.post("/api/auth/login").body("x")),
    ] {
        let answer = request.header("origin", "https://shop.example").send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status);
        let allowed = &answer.headers()["access-control-allow-origin"];
        assert_eq!(allowed, "https://shop.example", "{status}");
    }
}

/// The connection goes on behind an answer without a body, or the length of the missing body would be waited for.
#[tokio::test]
async fn head_answers_like_get_also_where_get_fails() {
    let server = Server::start().await;
    for path in [
        "/health",
        "/nothing",
        "/api/flash-sale/status",
        "/api-docs/",
    ] {
        let get = server.get(path).send().await.unwrap().status();
        let url = format!("{}{path}", server.url);
        let head = server.http.request(Method::HEAD, url).send().await.unwrap();
        assert_eq!(head.status(), get, "{path}");
        assert!(head.bytes().await.unwrap().is_empty());
        let pipelined = format!(
            "HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
        let answers = server.raw(&pipelined).await;
        let (_, second) = answers.split_once("\r\n\r\n").unwrap();
        assert!(second.starts_with("HTTP/1.1 200 OK"), "{path}: {answers}");
    }
}

/// The answer comes by the head alone; what follows is the body that was announced, whatever it looks like.
#[tokio::test]
async fn a_body_behind_an_early_answer_is_never_taken_for_a_request() {
    let server = Server::start().await;
    let address = server.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let smuggled = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!(
        "POST /api/flash-sale/attempt/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        smuggled.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    connection.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 401");
    // Whether the connection is closed by now is the server's choice.
    let _ = connection.write_all(smuggled.as_bytes()).await;
    let mut answers = Vec::new();
    let reading = connection.read_to_end(&mut answers);
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
    let answers = String::from_utf8_lossy(&answers);
    assert!(!answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn a_token_is_read_as_clients_write_the_header() {
    let server = Server::start().await;
    let token = token();
    let status = async |header: String| {
        let request = server.post("/api/flash-sale/attempt/x");
        let answer = request.header("authorization", header).send().await;
        answer.unwrap().status().as_u16()
    };
    for right in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER  {token} "),
    ] {
        assert_eq!(
            status(right.clone()).await,
            400,
            "the id is looked at: {right}"
        );
    }
    for wrong in [
        format!("Bearer Bearer {token}"),
        format!("Bearer \"{token}\""),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
    ] {
        assert_eq!(status(wrong.clone()).await, 401, "{wrong}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_for_being_compressed() {
    let server = Server::start().await;
    for path in ["/api/auth/login", "/api/auth/register"] {
        let post = |encoding: &str| {
            let request = server.post(path).header("content-encoding", encoding);
            request
                .header("content-type", "application/json")
                .body("{}")
        };
        let message = failure(post("gzip"), 415, "unsupported_media_type").await;
        assert!(message.contains("Content-Encoding"), "{message}");
        failure(post("identity"), 400, "validation_failed").await;
    }
}
