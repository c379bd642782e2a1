//! The server, from its listener to its graceful shutdown.
//!
//! It uses the HTTP implementation of actix and threads of its own ([`threads`](super::threads)) instead of `actix-server`, which
//! resets connections that wait in the kernel's queue when it stops, and drops a request that has arrived but is not read yet.
//! Both would be failed requests during a rolling restart.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use metrics::counter;
use tokio::{
    net::{TcpSocket, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};

use actix_web::web::{Data, ServiceConfig};

use super::{
    client::TrustedProxies,
    drain::Draining,
    extract::BodyTimeout,
    farewell::TurnedAway,
    networks::{AtLimit, Networks},
    open_connections::OpenConnections,
    seats::ListenerSeats,
    threads::{Connection, Threads},
};
use crate::{
    config::ServerConfig,
    lifecycle::Ending,
    telemetry::{LogThrottle, metric},
};

/// Length of the kernel's queue of connections to accept: thousands arrive in a sale's first second. The kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 8192;
/// Pause after a failed accept whose cause also affects the next connection, for example a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A bound port that does not listen yet. Until it does, the kernel refuses connections; clients are not left waiting.
pub struct Bound(TcpSocket);

impl Bound {
    /// The address. Its port is the one that the kernel chose if port 0 was requested.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Starts to listen.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?.into_std()
    }
}

/// Binds the first address of `host` that can be bound.
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

/// Serves the application on `threads` threads, or on one thread per core if 0. The graceful shutdown has three steps:
///
/// 1. For `DRAIN_DELAY_SECS` all requests are still served, also on new connections. Readiness answers 503, and every response
///    closes its connection, so that load balancers send no more requests and keep no connection that the server could close
///    while they use it.
/// 2. Idle connections are closed. Connections that the kernel has completed are accepted, and the port is closed.
/// 3. Requests under way are answered. Steps 2 and 3 together take at most `SHUTDOWN_TIMEOUT_SECS`.
pub async fn serve(
    listener: TcpListener,
    threads: usize,
    config: &ServerConfig,
    ending: Ending,
    open: OpenConnections,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<()> {
    let draining = Draining::default();
    let body_timeout = BodyTimeout(config.request_timeout);
    let proxies = TrustedProxies(config.trusted_proxies.as_slice().into());
    let listeners = ListenerSeats::new(config, open.clone());
    let seats = listeners.clone();
    let configure = move |service: &mut ServiceConfig| {
        service
            .app_data(body_timeout)
            .app_data(proxies.clone())
            .app_data(Data::new(seats.clone()));
        configure(service);
    };
    let mut threads = Threads::start(threads, config, draining.clone(), configure).await?;
    let acceptor = Acceptor {
        queue: listener.try_clone()?,
        listener: tokio::net::TcpListener::from_std(listener)?,
        permits: Arc::new(Semaphore::new(config.max_connections)),
        networks: Networks::new(config.max_connections_per_network, &config.trusted_proxies),
        open,
    };
    let all_permits = u32::try_from(config.max_connections).unwrap_or(u32::MAX);

    let drain = async {
        ending.drain.cancelled().await;
        draining.begin();
        tokio::select! {
            () = sleep(config.drain_delay) => {}
            () = ending.no_delay.cancelled() => {}
        }
    };
    tokio::select! {
        () = drain => {}
        ended = acceptor.accept_all(&mut threads) => return ended,
    }

    let deadline = Instant::now() + config.shutdown_timeout;
    threads.close_idle();
    // Each response closes its connection and so frees a permit for a queued connection.
    let accepted = timeout_at(deadline, acceptor.accept_queued(&mut threads)).await;
    let Acceptor {
        listener,
        queue,
        permits,
        networks: _,
        open: _,
    } = acceptor;
    drop((listener, queue));
    accepted.unwrap_or(Ok(()))?;
    let all_closed = timeout_at(deadline, permits.acquire_many(all_permits)).await;
    let all_ended = timeout_at(deadline, listeners.all_ended()).await;
    if all_closed.is_err() || all_ended.is_err() {
        let open = config
            .max_connections
            .saturating_sub(permits.available_permits());
        tracing::warn!(open, "connections are cut off: they did not end in time");
    }
    threads.end().await;
    Ok(())
}

/// Accepts connections from the kernel, and keeps at most `MAX_CONNECTIONS` open.
struct Acceptor {
    listener: tokio::net::TcpListener,
    /// The same socket, used to accept queued connections without waiting.
    queue: TcpListener,
    /// One permit for each connection that may be open.
    permits: Arc<Semaphore>,
    networks: Networks,
    open: OpenConnections,
}

impl Acceptor {
    /// Accepts connections. Returns, with an error, only if a connection cannot be passed to its thread.
    async fn accept_all(&self, threads: &mut Threads) -> io::Result<()> {
        loop {
            let permit = self.permit().await?;
            match self.listener.accept().await {
                // The stream leaves this runtime; the thread registers it with its own.
                Ok((stream, peer)) => self.dispatch(threads, stream.into_std()?, peer, permit)?,
                // The error affects this connection only: its client has disconnected.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "connections cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts the connections that the kernel has completed. The caller must close the port at once: connections that the
    /// kernel completes in between are reset.
    async fn accept_queued(&self, threads: &mut Threads) -> io::Result<()> {
        loop {
            let permit = self.permit().await?;
            match self.queue.accept() {
                Ok((stream, peer)) => self.dispatch(threads, stream, peer, permit)?,
                Err(error) if is_of_connection(&error) => {}
                // The queue is empty, or cannot be read.
                Err(_) => return Ok(()),
            }
        }
    }

    /// Passes a connection to a thread, or refuses it if its network is at its limit.
    fn dispatch(
        &self,
        threads: &mut Threads,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        match self.networks.enter(peer.ip()) {
            Ok(network_guard) => threads.dispatch(Connection {
                stream,
                peer,
                permit,
                network_guard,
                counted: self.open.enter(),
            }),
            Err(at_limit) => {
                turn_away(&stream, at_limit);
                Ok(())
            }
        }
    }

    async fn permit(&self) -> io::Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(io::Error::other)
    }
}

/// Sends the reason of the refusal. The connection is closed right after it, so the client may not get to read it.
fn turn_away(mut stream: &TcpStream, at_limit: AtLimit) {
    static LOG_THROTTLE: LogThrottle = LogThrottle::new();
    let why = TurnedAway::NetworkCrowded;
    counter!(metric::HTTP_TURNED_AWAY, "reason" => why.reason()).increment(1);
    if let Some(suppressed) = LOG_THROTTLE.allow_counting() {
        let (_, network) = at_limit.prefix;
        tracing::warn!(
            %network,
            open = at_limit.open,
            suppressed,
            "a network has as many connections as it may have (MAX_CONNECTIONS_PER_NETWORK); if it is a load balancer, name it in TRUSTED_PROXIES"
        );
    }
    // Does not block: the response fits into the send buffer of a new connection.
    let _ = stream
        .set_nonblocking(true)
        .and_then(|()| stream.write(why.answer()));
}

/// Whether an error of `accept` affects one connection only.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
