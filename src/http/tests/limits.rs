//! Sizes, times, and the end of the server.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Server, failure, token};

const LOGIN: &str =
    "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn large_bodies_are_refused_whether_announced_or_not() {
    let server = Server::start().await;
    let large = format!("{{\"username\":\"{}\"}}", "x".repeat(16 * 1024));
    let request = server
        .post("/api/auth/login")
        .header("content-type", "application/json")
        .body(large.clone());
    failure(request, 413, "body_too_large").await;
    let chunked = format!(
        "{LOGIN}transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    let answer = server.raw(&chunked).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"),
        "{answer}"
    );
}

#[tokio::test]
async fn slow_bodies_are_given_up() {
    let server = Server::start().await;
    let answer = server
        .raw(&format!("{LOGIN}content-length: 100\r\n\r\n{{"))
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn slow_heads_are_given_up() {
    let server = Server::start().await;
    let answer = server.raw("GET /health HTTP/1.1\r\nhost:").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Server::start().await;
    for request in [
        "nonsense\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost\0: x\r\n\r\n",
    ] {
        let answer = server.raw(request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_harm_the_next_request() {
    let server = Server::start().await;
    for size in [0, 2, 100_000] {
        for path in ["/api/flash-sale/attempt/x", "/nothing"] {
            let sent = server
                .post(path)
                .bearer_auth(token())
                .body("x".repeat(size))
                .send()
                .await
                .unwrap();
            assert!(sent.status().is_client_error(), "{}", sent.status());
            sent.bytes().await.unwrap();
            let next = server.get("/health").send().await.unwrap();
            assert_eq!(next.status(), 200, "after {size} bytes to {path}");
        }
    }
}

#[tokio::test]
async fn the_server_ends_when_told_and_finishes_what_runs() {
    let mut server = Server::start().await;
    assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream
        .write_all(format!("{LOGIN}content-length: 1\r\n\r\n").as_bytes())
        .await
        .unwrap();
    // Once this is answered, the server has taken the connection before it.
    assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
    server.shutdown.cancel();
    stream.write_all(b"{").await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.contains("invalid_json"), "{answer}");
    let ended = timeout(Duration::from_secs(5), server.running.join_next())
        .await
        .expect("it ends");
    assert!(matches!(ended, Some(Ok(Ok(())))));
}
