//! The server on a port of its own, with all that needs no engine: shapes of failures, limits, CORS, documentation.
//!
//! Here is the server; the tests are beneath. Accounts are in memory; sales, purchases and results are not hung up, so
//! that their handlers are reached only as far as the token or the id fails.

mod abuse;
mod accounts;
mod clients;
mod documentation;
mod drain;
mod failures;
mod identity;
mod limits;
mod origins;
mod pages;
mod upgrades;

use std::{sync::Arc, time::Duration};

use actix_web::web::Data;
use reqwest::header::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{docs::DocumentSource, openapi::document, pages::Pages, router, table};
use crate::{
    auth::{
        Auth, AuthLimits, Passwords, Tokens,
        accounts::{Accounts, directory},
    },
    clock::{Clock, SystemClock},
    config::{AuthConfig, LimitsConfig, PagesConfig, Secret, ServerConfig},
    http::{self, Statuses},
    ids::UserId,
    lifecycle::{Ending, Lifecycle},
    port::Role,
    telemetry::MetricsPage,
};

const SECRET: &str = "a secret of the tests, with more than 32 bytes";

/// The routes behind a real listener.
struct Server {
    url: String,
    http: reqwest::Client,
    shutdown: CancellationToken,
    /// Of the drain: a signal that leaves the delay.
    drain: CancellationToken,
    running: JoinSet<std::io::Result<()>>,
}

fn auth_config() -> AuthConfig {
    AuthConfig {
        jwt_secret: Secret::new(SECRET),
        jwt_secret_previous: None,
        token_ttl: Duration::from_mins(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 1,
        password_blocklist: false,
    }
}

fn server_config() -> ServerConfig {
    ServerConfig {
        production: false,
        host: "127.0.0.1".to_owned(),
        port: 0,
        frontend_origins: Vec::new(),
        api_docs: true,
        pages: PagesConfig {
            shop: true,
            admin: true,
            image_origins: Vec::new(),
            frame_ancestors: Vec::new(),
        },
        original_status_codes: false,
        http_threads: 1,
        max_connections: 100,
        max_connections_per_network: None,
        max_listeners: 10,
        max_listeners_per_network: None,
        max_buffered: 1 << 20,
        metrics: None,
        keep_alive: Duration::from_secs(75),
        stall_timeout: Duration::from_secs(30),
        trusted_proxies: Vec::new(),
        // Longer than a busy machine takes for a request.
        request_timeout: Duration::from_secs(10),
        drain_delay: Duration::ZERO,
        shutdown_timeout: Duration::from_secs(5),
        startup_timeout: Duration::from_secs(5),
        settlement_lag: Duration::ZERO,
        ready_without_ledger: false,
    }
}

fn no_limits() -> LimitsConfig {
    LimitsConfig {
        logins_per_address: 0,
        failed_logins_per_account: 0,
        registrations_per_address: 0,
        registrations_per_account: 0,
        attempts_per_user: 0,
        attempts_per_address: 0,
        loopback: true,
    }
}

fn token() -> String {
    let user = UserId::new(7).unwrap();
    Tokens::new(&auth_config())
        .issue(user, "user1", Role::User, SystemClock.now())
        .unwrap()
}

impl Server {
    async fn start() -> Self {
        Self::with(server_config(), &no_limits()).await
    }

    async fn with_origins(origins: &[&str]) -> Self {
        let config = ServerConfig {
            frontend_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..server_config()
        };
        Self::with(config, &no_limits()).await
    }

    async fn with(config: ServerConfig, limits: &LimitsConfig) -> Self {
        let bound = http::bind(&config.host, config.port).await.unwrap();
        let listener = bound.listen().unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let ending = Ending {
            drain: shutdown.child_token(),
            no_delay: shutdown.child_token(),
        };
        let drain = ending.drain.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tokens = Arc::new(Tokens::new(&auth_config()));
        let passwords = Passwords::new(&auth_config()).unwrap();
        let accounts = Arc::new(Accounts::default());
        let directory = directory(&Lifecycle::default(), Arc::clone(&accounts));
        let auth = Auth::new(
            accounts.clone(),
            accounts,
            Arc::clone(&directory),
            AuthLimits::new(limits),
            passwords,
            Arc::clone(&tokens),
            Arc::clone(&clock),
        );
        let auth = Arc::new(auth);
        let settings = config.clone();
        let pages = Pages::new(&config.pages, config.api_docs);
        let statuses = Statuses::new(config.original_status_codes);
        let mut running = JoinSet::new();
        running.spawn(async move {
            http::serve(
                listener,
                1,
                &config,
                ending,
                http::OpenConnections::default(),
                move |service| {
                    let page: MetricsPage = Arc::new(|| "up 1\n".to_owned());
                    service
                        .app_data(Data::from(Arc::clone(&auth)))
                        .app_data(Data::from(Arc::clone(&directory)))
                        .app_data(Data::from(Arc::clone(&tokens)))
                        .app_data(Data::from(Arc::clone(&clock)))
                        .app_data(Data::new(pages.clone()))
                        .app_data(Data::new(DocumentSource(document)))
                        .app_data(Data::new(page));
                    router::mount(
                        table::served(&settings, table::External::default()),
                        statuses,
                        service,
                    );
                },
            )
            .await
        });
        // reqwest comes without cryptography of its own. It fails if there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url,
            http: reqwest::Client::new(),
            shutdown,
            drain,
            running,
        }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    /// All that comes back for these bytes until the server closes the connection.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://"))
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .expect("the server closes the connection")
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// What browsers are told with every answer.
fn assert_safe(headers: &HeaderMap) {
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(headers.contains_key("cache-control"));
}

/// Checks the shape and the headers that every failure has; gives its message.
async fn failure(request: reqwest::RequestBuilder, status: u16, code: &str) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), status);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/json");
    assert_safe(&headers);
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers.get("www-authenticate").is_some(), status == 401);
    let body: serde_json::Value = response.json().await.unwrap();
    let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["code", "error", "message", "success"]);
    assert_eq!(
        (&body["success"], &body["code"]),
        (&false.into(), &code.into())
    );
    body["message"].as_str().unwrap().to_owned()
}
