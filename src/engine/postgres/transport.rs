//! The byte stream to the server: the choice of an address, TCP with its timeouts or a Unix socket, and TLS. `connect` logs in
//! on it.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::{
    unnamed::Unnamed,
    watch::{LastCode, Watched},
};

/// How long sent data may stay unacknowledged before the connection is closed.
pub(super) const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// A socket of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// A connected socket.
pub(super) struct Connected {
    pub(super) stream: Socket,
    /// The connection does not leave this machine.
    pub(super) is_local: bool,
}

/// Connects to the first address of a host that answers, until the deadline. The addresses share the time: one that does not
/// answer leaves the rest of it to the others.
pub(super) async fn connect(host: &str, port: u16, until: Instant) -> io::Result<Connected> {
    if host.starts_with('/') {
        let socket = UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await?;
        return Ok(Connected {
            stream: Either::Right(socket),
            is_local: true,
        });
    }
    let mut problem = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = until.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true)?;
                let options = SockRef::from(&socket);
                options.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
                options.set_tcp_keepalive(
                    &TcpKeepalive::new()
                        .with_time(PEER_TIMEOUT / 2)
                        .with_interval(PEER_TIMEOUT / 5)
                        .with_retries(3),
                )?;
                return Ok(Connected {
                    stream: Either::Left(socket),
                    is_local: address.ip().is_loopback(),
                });
            }
            Ok(Err(error)) => problem = error,
            Err(late) => problem = late.into(),
        }
    }
    Err(problem)
}

/// Encrypts a stream with TLS, and inspects the decrypted messages.
pub(super) struct Encrypt {
    settings: Arc<ClientConfig>,
    host: String,
    code: LastCode,
    is_pooled: bool,
}

impl Encrypt {
    pub(super) fn new(
        settings: Arc<ClientConfig>,
        host: &str,
        code: LastCode,
        is_pooled: bool,
    ) -> Self {
        Self {
            settings,
            host: host.to_owned(),
            code,
            is_pooled,
        }
    }
}

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

impl TlsConnect<Socket> for Encrypt {
    type Stream = Unnamed<Watched<Rustls>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let mut maker = MakeRustlsConnect::new(ClientConfig::clone(&self.settings));
            let connector = MakeTlsConnect::<Socket>::make_tls_connect(&mut maker, &self.host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
            let encrypted = TlsConnect::<Socket>::connect(connector, stream).await?;
            let watched = Watched::new(encrypted, self.code, true);
            Ok(Unnamed::new(watched, self.is_pooled))
        })
    }
}
