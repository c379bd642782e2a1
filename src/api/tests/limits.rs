//! Sizes, times, and the end of the server.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Server, failure, no_limits, server_config, token};
use crate::config::ServerConfig;

const GOOD: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

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
    let server = hasty().await;
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
    let server = hasty().await;
    let answer = server.raw("GET /health HTTP/1.1\r\nhost:").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_given_up() {
    let server = hasty().await;
    let answer = server.raw("").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// How long a request may take at a server of little patience.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(300);

async fn hasty() -> Server {
    let config = ServerConfig {
        request_timeout: REQUEST_TIMEOUT,
        ..server_config()
    };
    Server::with(config, &no_limits()).await
}

/// The same for connections without a request.
async fn impatient() -> Server {
    let config = ServerConfig {
        request_timeout: REQUEST_TIMEOUT,
        keep_alive: Duration::from_secs(1),
        stall_timeout: Duration::from_secs(1),
        ..server_config()
    };
    Server::with(config, &no_limits()).await
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// Reads until the connection is closed, which must be within this time.
async fn closed_within(stream: &mut TcpStream, limit: Duration) -> String {
    let mut answers = Vec::new();
    // However it is closed.
    let _ = timeout(limit, stream.read_to_end(&mut answers))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answers).into_owned()
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let server = impatient().await;
    let mut stream = connect(&server).await;
    stream.write_all(GOOD).await.unwrap();
    let begun = Instant::now();
    let answers = closed_within(&mut stream, Duration::from_secs(5)).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(begun.elapsed() > Duration::from_millis(900), "not at once");
}

#[tokio::test]
async fn a_later_head_that_comes_byte_by_byte_is_given_up() {
    let server = impatient().await;
    for start in [&b""[..], b"GET /health HTTP/1.1\r\nhost:"] {
        let mut stream = connect(&server).await;
        stream.write_all(&[GOOD, start].concat()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let mut answers = Vec::new();
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if writer.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = drip => {}
            read = timeout(Duration::from_secs(6), reader.read_to_end(&mut answers)) => {
                read.expect("the server closes the connection").ok();
            }
        }
        assert!(answers.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_given_up() {
    let server = impatient().await;
    let mut stream = connect(&server).await;
    let ask = b"GET /api-docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n";
    let flood = async {
        while stream.write_all(ask).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), flood)
        .await
        .expect("the server closes the connection");
}

#[tokio::test]
async fn a_body_that_nobody_reads_and_that_does_not_end_is_given_up() {
    let server = Server::start().await;
    let mut stream = connect(&server).await;
    let head =
        b"POST /api/flash-sale/attempt/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if writer.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = drip => {}
        read = timeout(Duration::from_secs(5), reader.read_to_end(&mut answer)) => {
            read.expect("the server closes the connection").ok();
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 401"));
}

#[tokio::test]
async fn huge_heads_are_refused() {
    let server = Server::start().await;
    let long = "x".repeat(200_000);
    let many = "x: y\r\n".repeat(200);
    for head in [
        format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {long}"),
        format!("GET /{long}"),
        format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
    ] {
        let mut stream = connect(&server).await;
        // It may be closed before all is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = closed_within(&mut stream, Duration::from_secs(5)).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn heads_of_16_kib_are_read_and_larger_ones_are_not() {
    let server = Server::start().await;
    let head = |bytes: usize| {
        let begin = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: ";
        format!("{begin}{}\r\n\r\n", "y".repeat(bytes - begin.len() - 4))
    };
    let fits = server.raw(&head(16 * 1024)).await;
    assert!(fits.starts_with("HTTP/1.1 200"), "{fits}");
    let answer = server.raw(&head(16 * 1024 + 1)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(answer.contains(r#""code":"head_too_large""#), "{answer}");
    // What was asked before it is answered first.
    let good = String::from_utf8(GOOD.to_vec()).unwrap();
    let answers = server.raw(&format!("{good}{good}{}", head(40_000))).await;
    let statuses: Vec<_> = answers.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 3, "{answers}");
    assert!(answers.contains("HTTP/1.1 431"), "{answers}");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let config = ServerConfig {
        max_connections: 3,
        request_timeout: Duration::from_mins(1),
        ..server_config()
    };
    let server = Server::with(config, &no_limits()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&server).await;
        stream.write_all(GOOD).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    let mut waiting = connect(&server).await;
    waiting.write_all(GOOD).await.unwrap();
    let mut status = [0; 12];
    let early = timeout(Duration::from_millis(300), waiting.read_exact(&mut status)).await;
    assert!(early.is_err(), "a fourth is served beside three");
    held.pop();
    let answered = timeout(Duration::from_secs(5), waiting.read_exact(&mut status)).await;
    answered.expect("it is its turn").unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[tokio::test]
async fn connections_that_are_reset_leave_nothing_behind() {
    let config = ServerConfig {
        max_connections: 3,
        // Places come back by the reset alone.
        request_timeout: Duration::from_mins(1),
        ..server_config()
    };
    let server = Server::with(config, &no_limits()).await;
    let body = format!("{LOGIN}content-length: 100\r\n\r\n{{");
    let starts = [
        "",
        "GET /health HT",
        body.as_str(),
        "GET /api-docs/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    for start in starts.iter().cycle().take(60) {
        let mut stream = connect(&server).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        stream.set_zero_linger().unwrap();
    }
    // Each of three places is free again.
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&server).await;
        stream.write_all(GOOD).await.unwrap();
        let mut status = [0; 12];
        let read = timeout(Duration::from_secs(5), stream.read_exact(&mut status)).await;
        read.expect("it is served").unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        held.push(stream);
    }
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

#[tokio::test]
async fn a_body_for_which_there_is_no_room_is_answered_503_in_the_middle_of_it() {
    let config = ServerConfig {
        max_buffered: 0,
        request_timeout: Duration::from_secs(5),
        ..server_config()
    };
    let server = Server::with(config, &no_limits()).await;
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 16000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; go_on.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, go_on, "its handler waits for the body");
    stream.write_all(&[b' '; 15_000]).await.unwrap();
    answer.clear();
    let read = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(5), read).await;
    read.expect("the connection ends").unwrap();
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert_eq!(
        answer.matches("http/1.1").count(),
        1,
        "one answer: {answer}"
    );
}
