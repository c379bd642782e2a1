//! The end of the server: what is served during the drain, and what becomes of connections.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{Server, no_limits, server_config};
use crate::config::ServerConfig;

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
const DELAY: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(5);

async fn server(drain_delay: Duration, max_connections: usize) -> Server {
    let config = ServerConfig {
        drain_delay,
        max_connections,
        request_timeout: PATIENCE,
        ..server_config()
    };
    Server::with(config, &no_limits()).await
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// One answer of a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"}") {
            answer.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(PATIENCE, read).await.expect("it is answered");
    String::from_utf8(answer).unwrap()
}

/// Everything until the server closes the connection, and how long that took.
async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let (begun, mut rest) = (Instant::now(), Vec::new());
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    read.expect("it is closed").expect("it is not reset");
    (String::from_utf8(rest).unwrap(), begun.elapsed())
}

async fn assert_ended(mut server: Server) {
    let ended = timeout(PATIENCE, server.running.join_next()).await;
    assert!(matches!(ended.expect("it ends"), Some(Ok(Ok(())))));
}

#[tokio::test]
async fn while_it_drains_everything_is_served_and_every_answer_closes_its_connection() {
    let server = server(DELAY, 100).await;
    let mut kept = connect(&server).await;
    kept.write_all(HEALTH).await.unwrap();
    let before = answer(&mut kept).await;
    assert!(!before.contains("connection: close"), "{before}");

    server.drain.cancel();
    sleep(DELAY / 3).await;
    let mut new = connect(&server).await;
    for stream in [&mut kept, &mut new] {
        stream.write_all(HEALTH).await.unwrap();
        let (answer, _) = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    // Failures, too, and of no route.
    let mut wrong = connect(&server).await;
    let request = b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    wrong.write_all(request).await.unwrap();
    let (answer, _) = rest(&mut wrong).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_ended(server).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_delay_and_not_before() {
    let server = server(DELAY, 100).await;
    let mut idle = connect(&server).await;
    idle.write_all(HEALTH).await.unwrap();
    answer(&mut idle).await;
    server.drain.cancel();
    let (more, waited) = rest(&mut idle).await;
    assert_eq!(more, "");
    assert!(waited + Duration::from_millis(100) >= DELAY, "{waited:?}");
    assert_ended(server).await;
}

#[tokio::test]
async fn a_connection_that_waits_to_be_accepted_is_served() {
    let server = server(Duration::ZERO, 1).await;
    // The only place is taken, so that the kernel keeps whoever comes.
    let mut first = connect(&server).await;
    first.write_all(HEALTH).await.unwrap();
    answer(&mut first).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(&server).await;
        stream.write_all(HEALTH).await.unwrap();
        waiting.push(stream);
    }
    server.drain.cancel();
    for stream in &mut waiting {
        let (answer, _) = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_ended(server).await;
}

#[tokio::test]
async fn a_request_that_comes_late_on_a_new_connection_is_served() {
    let server = server(Duration::ZERO, 100).await;
    let mut new = connect(&server).await;
    // Served, and so accepted before.
    let mut after = connect(&server).await;
    after.write_all(HEALTH).await.unwrap();
    answer(&mut after).await;
    server.drain.cancel();
    rest(&mut after).await;
    new.write_all(HEALTH).await.unwrap();
    let (answer, _) = rest(&mut new).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_ended(server).await;
}

#[tokio::test]
async fn a_request_of_which_a_part_has_come_is_served() {
    let server = server(Duration::ZERO, 100).await;
    let mut slow = connect(&server).await;
    slow.write_all(HEALTH).await.unwrap();
    answer(&mut slow).await;
    let (start, end) = HEALTH.split_at(10);
    slow.write_all(start).await.unwrap();
    // Once this one is answered, the server has read the other's part: they share a thread.
    for _ in 0..2 {
        server.get("/health").send().await.unwrap();
    }
    server.drain.cancel();
    server.drain.cancelled().await;
    sleep(Duration::from_millis(300)).await;
    slow.write_all(end).await.unwrap();
    let (answer, _) = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_ended(server).await;
}

#[tokio::test]
async fn whoever_is_in_a_hurry_waits_for_no_delay() {
    let server = server(PATIENCE * 10, 100).await;
    let mut idle = connect(&server).await;
    idle.write_all(HEALTH).await.unwrap();
    answer(&mut idle).await;
    server.drain.cancel();
    server.shutdown.cancel();
    let (_, waited) = rest(&mut idle).await;
    assert!(waited < PATIENCE);
    assert_ended(server).await;
}
