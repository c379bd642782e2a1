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
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{LOGIN}content-length: 1\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server says that it has the head and waits for the body: the request is under way.
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    server.shutdown.cancel();
    stream.write_all(b"{").await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(Duration::from_secs(5), read)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.contains("invalid_json"), "{answer}");
    let ended = timeout(Duration::from_secs(5), server.running.join_next());
    assert!(matches!(ended.await.expect("it ends"), Some(Ok(Ok(())))));
}
