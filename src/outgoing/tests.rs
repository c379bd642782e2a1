//! Tests of outgoing requests against a listener of the test: limits, redirects, and refused addresses.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const OPEN: ClientOptions = ClientOptions {
    addresses: AddressPolicy::Any,
    schemes: Schemes::HttpAndHttps,
    timeout: Duration::from_secs(5),
    max_body: 64,
};

const PUBLIC: ClientOptions = ClientOptions {
    addresses: AddressPolicy::PublicOnly,
    ..OPEN
};

/// Answers every connection with the same bytes, and counts connections.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        #[allow(clippy::disallowed_methods)]
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    // The client's time is up first.
                    std::future::pending::<()>().await;
                }
            }
        });
        Self {
            port,
            connections,
            task,
        }
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A name that has a public address at the first look-up, and the address of this machine at the next ones.
struct Rebinding(AtomicUsize);

#[async_trait]
impl Resolver for Rebinding {
    async fn addresses_of(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let text = match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => "203.1.113.1",
            _ => "127.0.0.1",
        };
        Ok(vec![text.parse().unwrap()])
    }
}

struct Fixed(&'static [&'static str]);

#[async_trait]
impl Resolver for Fixed {
    async fn addresses_of(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.iter().map(|text| text.parse().unwrap()).collect())
    }
}

#[test]
fn a_host_that_is_an_address_is_refused_in_every_notation() {
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[fd00::1]",
        "[fe80::1]",
        "127。0。0。1",
    ] {
        let url = format!("http://{host}/hook");
        let checked = check_url(&url, PUBLIC);
        assert!(
            matches!(checked, Err(UrlError::NotPublic(_))),
            "{url}: {checked:?}"
        );
        assert!(check_url(&url, OPEN).is_ok(), "{url}");
    }
    assert!(check_url("https://8.8.8.8/hook", PUBLIC).is_ok());
    assert!(check_url("https://shop.example/hook", PUBLIC).is_ok());
}

#[test]
fn a_url_needs_a_scheme_of_the_client_and_no_credentials() {
    let https = ClientOptions {
        schemes: Schemes::HttpsOnly,
        ..PUBLIC
    };
    let refused = |url, options| check_url(url, options).unwrap_err();
    assert_eq!(refused("http://shop.example/", https), UrlError::NotHttps);
    assert_eq!(
        refused("ftp://shop.example/", PUBLIC),
        UrlError::UnknownScheme
    );
    assert_eq!(
        refused("file:///etc/passwd", PUBLIC),
        UrlError::UnknownScheme
    );
    let secret = "https://user:word@shop.example/";
    assert_eq!(refused(secret, https), UrlError::HasCredentials);
    assert!(matches!(refused("shop", https), UrlError::Malformed(_)));
}

#[tokio::test]
async fn an_answer_comes_with_status_and_body() {
    let server = Server::start(
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlater",
    )
    .await;
    let client = HttpClient::new(OPEN).unwrap();
    let answer = client
        .post(&server.url("localhost"), &[("x-a", "b")], b"{}".to_vec())
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (503, &b"later"[..])
    );
    assert_eq!(answer.retry_after.as_deref(), Some("7"));
}

#[tokio::test]
async fn a_redirect_is_answered_and_not_followed() {
    let server = Server::start(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .await;
    let client = HttpClient::new(OPEN).unwrap();
    let answer = client.get(&server.url("127.0.0.1"), "*/*").await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_of_this_machine_is_refused_before_a_connection() {
    let server = Server::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let client = HttpClient::new(PUBLIC).unwrap();
    let refused = client.get(&server.url("localhost"), "*/*").await;
    assert!(
        matches!(refused, Err(RequestError::NotPublic { .. })),
        "{refused:?}"
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_refused_at_the_connection() {
    let server = Server::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let resolver = Arc::new(Rebinding(AtomicUsize::new(0)));
    // The look-up of whoever checks the name when it is entered.
    let first = resolver.addresses_of("shop.example").await.unwrap();
    assert!(first.into_iter().all(address::is_public));
    let client = HttpClient::with_resolver(PUBLIC, resolver).unwrap();
    let refused = client.get(&server.url("shop.example"), "*/*").await;
    assert!(
        matches!(refused, Err(RequestError::NotPublic { .. })),
        "{refused:?}"
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_with_one_private_address_is_refused_as_a_whole() {
    let resolver = Arc::new(Fixed(&["8.8.8.8", "10.0.0.1"]));
    let client = HttpClient::with_resolver(PUBLIC, resolver).unwrap();
    let refused = client.get("http://shop.example/", "*/*").await;
    let address = "10.0.0.1".parse().unwrap();
    let host = "shop.example".to_owned();
    assert_eq!(refused, Err(RequestError::NotPublic { host, address }));
}

#[tokio::test]
async fn a_long_answer_is_cut_off() {
    let server = Server::start(
        "HTTP/1.1 200 OK\r\nContent-Length: 65\r\nConnection: close\r\n\r\n\
         0123456789012345678901234567890123456789012345678901234567890123x",
    )
    .await;
    let client = HttpClient::new(OPEN).unwrap();
    let cut = client.get(&server.url("127.0.0.1"), "*/*").await;
    assert_eq!(cut, Err(RequestError::TooLong(64)));
    // Of an answer to POST only the head counts.
    let answer = client.post(&server.url("127.0.0.1"), &[], Vec::new()).await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_in_time() {
    let server = Server::start("").await;
    let timeout = Duration::from_millis(200);
    let client = HttpClient::new(ClientOptions { timeout, ..OPEN }).unwrap();
    let late = client.get(&server.url("127.0.0.1"), "*/*").await;
    assert_eq!(late, Err(RequestError::Timeout(timeout)));
}
