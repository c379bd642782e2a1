//! The server: from a listener to its graceful end.

use std::{io, net::TcpListener, time::Duration};

use actix_web::{App as Actix, HttpServer, dev::Server, middleware::from_fn, web::ServiceConfig};
use tokio::net::{TcpSocket, lookup_host};
use tokio_util::sync::CancellationToken;

use super::{App, Probes, cors::cors, finish::in_shape};
use crate::config::ServerConfig;

/// Connections that may wait to be accepted: a sale's first second brings thousands. The kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 8192;
/// How long an idle connection is kept for its next request: longer than load balancers keep theirs (mostly 60 s), so
/// that it is never we who close one that is about to be used.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Listens on this address.
pub async fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut problem = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in lookup_host((host, port)).await? {
        let listen = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)?.into_std()
        };
        match listen() {
            Ok(listener) => return Ok(listener),
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
    let body_timeout = config.request_timeout;
    let configure = move |service: &mut ServiceConfig| app.configure(body_timeout, service);
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
fn start(
    listener: TcpListener,
    threads: usize,
    config: &ServerConfig,
    shutdown: CancellationToken,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let origins = config.frontend_origins.clone();
    let server = HttpServer::new(move || {
        Actix::new()
            .wrap(cors(&origins))
            .wrap(from_fn(in_shape))
            .configure(configure.clone())
    })
    .max_connections(config.max_connections)
    .client_request_timeout(config.request_timeout)
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .shutdown_timeout(config.shutdown_timeout.as_secs())
    .shutdown_signal(shutdown.cancelled_owned());
    let server = if threads == 0 {
        server
    } else {
        server.workers(threads)
    };
    Ok(server.listen(listener)?.run())
}
