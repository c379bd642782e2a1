//! Threads that serve connections: each has its own runtime and its own instance of the application.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpStream},
    thread::{self, available_parallelism},
    time::Duration,
};

use actix_http::{HttpService, error::DispatchError};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::{App as Actix, dev::AppConfig, middleware::from_fn, web::ServiceConfig};
use metrics::counter;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::spawn_local,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    buffered::{Budget, HeldBytes},
    cors::cors,
    drain::{ConnectionRequests, Draining},
    finish::finish_outermost,
    networks::ConnectionGuard,
    open_connections::CountedConnection,
    seats::Seat,
    stream::StallTimeout,
};
use crate::{
    config::ServerConfig,
    telemetry::{LogThrottle, metric},
};

/// Time for a client that sends more than the server reads to receive its response, before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);
/// Time within which a thread must drop its remaining connections at the end.
const THREAD_END: Duration = Duration::from_secs(1);

/// An accepted connection. When it is closed, its permit is returned and its network's count is lowered.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) network_guard: ConnectionGuard,
    pub(super) counted: CountedConnection,
}

/// The threads. Connections are distributed to them in turn.
pub(super) struct Threads {
    queues: Vec<mpsc::UnboundedSender<Connection>>,
    next: usize,
    close_idle: CancellationToken,
    end: CancellationToken,
    /// Closed when every thread has ended.
    ended: mpsc::Receiver<Infallible>,
}

impl Threads {
    /// Starts the threads, one per core if `threads` is 0, and returns when each of them can serve.
    pub(super) async fn start(
        threads: usize,
        config: &ServerConfig,
        draining: Draining,
        configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let threads = match threads {
            0 => available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let (alive, ended) = mpsc::channel(1);
        let budget = Budget::new(config.max_buffered);
        let mut all = Self {
            queues: Vec::with_capacity(threads),
            next: 0,
            close_idle: CancellationToken::new(),
            end: CancellationToken::new(),
            ended,
        };
        for number in 0..threads {
            // Bounded by the permits that the connections hold.
            let (queue, connections) = mpsc::unbounded_channel();
            let (started, has_started) = oneshot::channel();
            let thread = Thread {
                config: config.clone(),
                draining: draining.clone(),
                budget: budget.clone(),
                // Each thread has a token of its own: connections check it often, and a shared one has a lock that they would
                // contend for.
                close_idle: all.close_idle.child_token(),
                end: all.end.clone(),
                _alive: alive.clone(),
            };
            let configure = configure.clone();
            thread::Builder::new()
                .name(format!("http-{number}"))
                .spawn(move || thread.run(connections, started, configure))?;
            let started = has_started.await;
            started.unwrap_or_else(|_| Err(io::Error::other("a thread died at its start")))?;
            all.queues.push(queue);
        }
        Ok(all)
    }

    /// Passes a connection to the next thread.
    pub(super) fn dispatch(&mut self, connection: Connection) -> io::Result<()> {
        self.next = (self.next + 1) % self.queues.len();
        let sent = self
            .queues
            .get(self.next)
            .is_some_and(|queue| queue.send(connection).is_ok());
        if sent {
            Ok(())
        } else {
            Err(io::Error::other("a thread that serves HTTP is gone"))
        }
    }

    /// Closes connections from now on as soon as they are idle.
    pub(super) fn close_idle(&self) {
        self.close_idle.cancel();
    }

    /// Ends the threads. Connections that are still open are closed, whether they are idle or not.
    pub(super) async fn end(mut self) {
        self.end.cancel();
        let _ = timeout(THREAD_END, self.ended.recv()).await;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// The parts of one thread.
struct Thread {
    config: ServerConfig,
    draining: Draining,
    budget: Budget,
    close_idle: CancellationToken,
    end: CancellationToken,
    /// Dropped when the thread ends, which closes [`Threads::ended`].
    _alive: mpsc::Sender<Infallible>,
}

impl Thread {
    fn run(
        self,
        connections: mpsc::UnboundedReceiver<Connection>,
        started: oneshot::Sender<io::Result<()>>,
        configure: impl Fn(&mut ServiceConfig) + Clone + 'static,
    ) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            // Tasks that are still running when it returns are dropped with the runtime.
            Ok(runtime) => runtime.block_on(self.serve(connections, started, configure)),
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    }

    /// Serves connections as `actix_web::HttpServer` does, but on streams that fail when they stall ([`StallTimeout`]) and are
    /// closed during the shutdown as soon as they are idle.
    async fn serve(
        self,
        mut connections: mpsc::UnboundedReceiver<Connection>,
        started: oneshot::Sender<io::Result<()>>,
        configure: impl Fn(&mut ServiceConfig) + 'static,
    ) {
        let Self {
            config,
            draining,
            budget,
            close_idle,
            end,
            _alive,
        } = self;
        let middleware_draining = draining.clone();
        let app = Actix::new()
            .app_data(draining)
            .wrap(cors(&config))
            .wrap(from_fn(move |request, next| {
                finish_outermost(middleware_draining.clone(), request, next)
            }))
            .configure(configure)
            .into_factory()
            .map_err(|error| error.error_response());
        let http = HttpService::build()
            .client_request_timeout(config.request_timeout)
            .client_disconnect_timeout(LINGER)
            .keep_alive(config.keep_alive)
            .on_connect_ext(|stream: &StallTimeout<tokio::net::TcpStream>, data| {
                data.insert::<ConnectionRequests>(stream.requests());
                if let Some(seat) = stream.seat() {
                    data.insert::<Seat>(seat);
                }
            })
            .h1(map_config(app, |()| AppConfig::default()));
        let (stall, keep_alive) = (config.stall_timeout, config.keep_alive);
        let connect = move |(stream, peer, seat): (TcpStream, SocketAddr, Seat)| {
            let stream = with_timeouts(
                stream,
                seat,
                stall,
                keep_alive,
                &close_idle,
                budget.for_connection(),
            );
            async move { Ok::<_, DispatchError>((stream?, Some(peer))) }
        };
        let service = match fn_service(connect).and_then(http).new_service(()).await {
            Ok(service) => service,
            Err(error) => {
                let _ = started.send(Err(io::Error::other(format!("{error:?}"))));
                return;
            }
        };
        let _ = started.send(Ok(()));
        let serve = async {
            while let Some(Connection {
                stream,
                peer,
                permit,
                network_guard,
                counted,
            }) = connections.recv().await
            {
                let seat = Seat::new(permit, network_guard);
                let served = service.call((stream, peer, seat.clone()));
                // The task ends with the thread at the latest. `serve` in `server` waits until all permits are returned.
                #[allow(clippy::disallowed_methods)]
                spawn_local(async move {
                    if let Err(error) = served.await {
                        note_end(&error, peer);
                    }
                    drop((seat, counted));
                });
            }
        };
        tokio::select! {
            () = serve => {}
            () = end.cancelled() => {}
        }
    }
}

/// Logs the end of a connection that failed. Clients cause almost all of these, so there is nothing for an operator to do:
/// requests that are not HTTP are counted, and logged at a limited rate.
fn note_end(error: &DispatchError, peer: SocketAddr) {
    static LOG_THROTTLE: LogThrottle = LogThrottle::new();
    match error {
        DispatchError::Parse(error) => {
            counter!(metric::HTTP_TURNED_AWAY, "reason" => "malformed").increment(1);
            if let Some(suppressed) = LOG_THROTTLE.allow_counting() {
                tracing::info!(%peer, %error, suppressed, "a request that is not HTTP was answered 400");
            }
        }
        DispatchError::InternalError => {
            tracing::error!(%peer, "the HTTP server lost track of a connection");
        }
        _ => tracing::debug!(%peer, %error, "a connection ended"),
    }
}

fn with_timeouts(
    stream: TcpStream,
    seat: Seat,
    stall: Duration,
    keep_alive: Duration,
    close_idle: &CancellationToken,
    held: HeldBytes,
) -> io::Result<StallTimeout<tokio::net::TcpStream>> {
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    // Fails if the client has disconnected.
    let _ = stream.set_nodelay(true);
    Ok(StallTimeout::new(stream, stall, keep_alive, close_idle.clone(), held).with_seat(seat))
}
