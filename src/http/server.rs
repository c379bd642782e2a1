//! The server: from a listener to its graceful end.
//!
//! It runs on actix's HTTP and on threads of its own ([`threads`](super::threads)). `actix-server` resets connections that
//! wait in the kernel's queue when it stops, and drops a request that has arrived and was not read yet; both would be
//! failures of a rolling restart.

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

use actix_web::web::ServiceConfig;

use super::{
    client::TrustedProxies,
    drain::Draining,
    extract::BodyTimeout,
    farewell::TurnedAway,
    networks::{Crowded, Networks},
    threads::{Connection, Threads},
};
use crate::{config::ServerConfig, lifecycle::Ending, telemetry::LogThrottle};

/// Connections that may wait to be accepted: a sale's first second brings thousands. The kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 8192;
/// Pause after accepting failed for a reason that the next connection shares, as when no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

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

/// Serves whatever is configured, on `threads` threads; 0 is one a core. Its end has three steps:
///
/// 1. For `DRAIN_DELAY_SECS` everything is served as before, new connections too; readiness answers 503, and every answer
///    closes its connection, so that load balancers send no more and hold no connection that could be closed while they
///    use it.
/// 2. Connections that the kernel has completed are accepted, and the port is closed. Idle connections are closed.
/// 3. Requests under way are answered, for `SHUTDOWN_TIMEOUT_SECS` at most.
pub async fn serve(
    listener: TcpListener,
    threads: usize,
    config: &ServerConfig,
    ending: Ending,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<()> {
    let draining = Draining::default();
    let body_timeout = BodyTimeout(config.request_timeout);
    let proxies = TrustedProxies(config.trusted_proxies.as_slice().into());
    let configure = move |service: &mut ServiceConfig| {
        service.app_data(body_timeout).app_data(proxies.clone());
        configure(service);
    };
    let mut threads = Threads::start(threads, config, draining.clone(), configure).await?;
    let acceptor = Acceptor {
        queue: listener.try_clone()?,
        listener: tokio::net::TcpListener::from_std(listener)?,
        places: Arc::new(Semaphore::new(config.max_connections)),
        networks: Networks::new(config.max_connections_per_network, &config.trusted_proxies),
    };
    let whole = u32::try_from(config.max_connections).unwrap_or(u32::MAX);

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
    // Each answer closes its connection and frees its place for one that waits.
    let accepted = timeout_at(deadline, acceptor.accept_queued(&mut threads)).await;
    let Acceptor {
        listener,
        queue,
        places,
        networks: _,
    } = acceptor;
    drop((listener, queue));
    accepted.unwrap_or(Ok(()))?;
    let all_closed = timeout_at(deadline, places.acquire_many(whole)).await;
    if all_closed.is_err() {
        let open = config
            .max_connections
            .saturating_sub(places.available_permits());
        tracing::warn!(open, "connections are cut off: they did not end in time");
    }
    threads.end().await;
    Ok(())
}

/// Takes connections from the kernel, no more than there are places.
struct Acceptor {
    listener: tokio::net::TcpListener,
    /// The same, to be asked for what it has without waiting.
    queue: TcpListener,
    places: Arc<Semaphore>,
    networks: Networks,
}

impl Acceptor {
    /// Accepts until a thread is gone.
    async fn accept_all(&self, threads: &mut Threads) -> io::Result<()> {
        loop {
            let place = self.place().await?;
            match self.listener.accept().await {
                // Out of this runtime, into its thread's.
                Ok((stream, peer)) => self.hand(threads, stream.into_std()?, peer, place)?,
                // Of this connection alone: its client is gone already.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "connections cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts what the kernel has completed. The port should be closed next, without waiting: what comes in between is
    /// reset.
    async fn accept_queued(&self, threads: &mut Threads) -> io::Result<()> {
        loop {
            let place = self.place().await?;
            match self.queue.accept() {
                Ok((stream, peer)) => self.hand(threads, stream, peer, place)?,
                Err(error) if is_of_connection(&error) => {}
                // The queue is empty, or cannot be read.
                Err(_) => return Ok(()),
            }
        }
    }

    /// Gives a connection to a thread, unless its network has enough of them.
    fn hand(
        &self,
        threads: &mut Threads,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        match self.networks.enter(peer.ip()) {
            Ok(seat) => threads.hand(Connection {
                stream,
                peer,
                place,
                seat,
            }),
            Err(crowded) => {
                turn_away(&stream, crowded);
                Ok(())
            }
        }
    }

    async fn place(&self) -> io::Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.map_err(io::Error::other)
    }
}

/// Says why, if the client can read it before the connection is gone.
fn turn_away(mut stream: &TcpStream, crowded: Crowded) {
    static LOG_THROTTLE: LogThrottle = LogThrottle::new();
    let why = TurnedAway::NetworkCrowded;
    counter!("flashsale_http_turned_away_total", "reason" => why.reason()).increment(1);
    if let Some(suppressed) = LOG_THROTTLE.allow_counting() {
        let (_, network) = crowded.prefix;
        tracing::warn!(
            %network,
            open = crowded.open,
            suppressed,
            "a network has as many connections as it may have (MAX_CONNECTIONS_PER_NETWORK); if it is a load balancer, name it in TRUSTED_PROXIES"
        );
    }
    // It fits into the buffer of a new connection, and nobody is waited for.
    let _ = stream
        .set_nonblocking(true)
        .and_then(|()| stream.write(why.answer()));
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
