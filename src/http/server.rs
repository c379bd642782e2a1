//! The server: from a listener to its graceful end.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread::available_parallelism,
    time::Duration,
};

use actix_http::{HttpService, error::DispatchError};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{App as Actix, dev::AppConfig, middleware::from_fn, web::ServiceConfig};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_util::sync::CancellationToken;

use super::{
    App, Probes, client::TrustedProxies, cors::cors, extract::BodyTimeout, finish::in_shape,
    stream::Patient,
};
use crate::config::ServerConfig;

/// Connections that may wait to be accepted: a sale's first second brings thousands. The kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 8192;
/// How long a client that sent more than was asked for may take to read its answer before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// A port that is ours. Nobody is let in yet: who connects is refused, rather than left without an answer, until it listens.
pub struct Bound(TcpSocket);

impl Bound {
    /// The address, with the port that was given if any was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Lets clients in.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?.into_std()
    }
}

/// Takes this address.
pub async fn bind(host: &str, port: u16) -> io::Result<Bound> {
    let mut problem = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in lookup_host((host, port)).await? {
        let bind = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(Bound(socket))
        };
        match bind() {
            Ok(bound) => return Ok(bound),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Serves the API until the token is cancelled; then finishes the requests under way, for as long as set.
pub async fn run(
    listener: TcpListener,
    app: App,
    config: &ServerConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let body_timeout = BodyTimeout(config.request_timeout);
    let proxies = TrustedProxies(config.trusted_proxies.as_slice().into());
    let api_docs = config.api_docs;
    let configure = move |service: &mut ServiceConfig| {
        app.configure(body_timeout, proxies.clone(), api_docs, service);
    };
    serve(listener, config.http_threads, config, shutdown, configure).await
}

/// Serves health checks and metrics alone, for processes without the API.
pub async fn run_probes(
    listener: TcpListener,
    probes: Probes,
    config: &ServerConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve(listener, 1, config, shutdown, move |service| {
        probes.configure(service);
    })
    .await
}

/// Serves whatever is configured. `threads` 0 is one a core.
pub(super) async fn serve(
    listener: TcpListener,
    threads: usize,
    config: &ServerConfig,
    shutdown: CancellationToken,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<()> {
    start(listener, threads, config, shutdown, configure)?.await
}

/// Apart from the waiting, since the builder cannot go from thread to thread as a task must.
///
/// What `actix_web::HttpServer` does, but with connections that are given up when they stall.
fn start(
    listener: TcpListener,
    threads: usize,
    config: &ServerConfig,
    shutdown: CancellationToken,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let threads = match threads {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let builder = Server::build();
    let (config_of_threads, ending) = (config.clone(), builder.graceful_shutdown_signal());
    let service = move || {
        let config = &config_of_threads;
        let app = Actix::new()
            .wrap(cors(config))
            .wrap(from_fn(in_shape))
            .configure(configure.clone())
            .into_factory()
            .map_err(|error| error.error_response());
        let ending = ending.clone();
        let http = HttpService::build()
            .client_request_timeout(config.request_timeout)
            .client_disconnect_timeout(LINGER)
            .keep_alive(config.keep_alive)
            .graceful_shutdown_signal(move || {
                let ending = ending.clone();
                async move { ending.notified().await }
            })
            .h1(map_config(app, |()| AppConfig::default()));
        let (stall, keep_alive) = (config.stall_timeout, config.keep_alive);
        let connect = move |stream: TcpStream| async move {
            // Fails for who is gone already.
            let _ = stream.set_nodelay(true);
            let peer = stream.peer_addr().ok();
            Ok::<_, DispatchError>((Patient::new(stream, stall, keep_alive), peer))
        };
        fn_service(connect).and_then(http)
    };
    let server = builder
        .workers(threads)
        // A limit for each thread.
        .max_concurrent_connections((config.max_connections / threads).max(1))
        .shutdown_timeout(config.shutdown_timeout.as_secs())
        .shutdown_signal(shutdown.cancelled_owned())
        .listen("http", listener, service)?;
    Ok(server.run())
}
