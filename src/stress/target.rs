//! The system under load: its address, and new connections to it.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Why a base URL leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{0:?} is not a base URL like http://localhost:3000")]
    NotAUrl(String),
    #[error("{host} has no address: {cause}")]
    NoAddress { host: String, cause: String },
    #[error("no certificate of {host} could be checked: {cause}")]
    Tls { host: String, cause: String },
}

/// A base URL with its address.
#[derive(Clone)]
pub struct Target {
    addresses: Vec<SocketAddr>,
    /// As the Host header says it.
    authority: String,
    /// What comes before every path; without a slash at its end.
    prefix: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection's bytes.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Target {
    /// Finds out where a base URL leads. Asks the resolver, and nothing else.
    pub fn new(url: &str) -> Result<Self, TargetError> {
        // One with a user may have a password.
        let shown = if url.contains('@') {
            "what was given, with a user in it,"
        } else {
            url
        };
        let wrong = || TargetError::NotAUrl(shown.to_owned());
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(wrong)?;
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let is_text = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte);
        if authority.is_empty() || !rest.bytes().all(is_text) {
            return Err(wrong());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, number)) if !number.contains(']') => {
                (host, number.parse().map_err(|_| wrong())?)
            }
            _ => (authority, port),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        let no_address = |cause: String| TargetError::NoAddress {
            host: host.to_owned(),
            cause,
        };
        let addresses = (host, port).to_socket_addrs();
        let addresses: Vec<_> = addresses
            .map_err(|error| no_address(error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(no_address("the resolver knows none".to_owned()));
        }
        let tls = if scheme.eq_ignore_ascii_case("https") {
            Some(tls(host)?)
        } else {
            None
        };
        Ok(Self {
            addresses,
            authority: authority.to_owned(),
            prefix: path.trim_end_matches('/').to_owned(),
            tls,
        })
    }

    /// Appends the head of a request up to its last header, without the empty line that ends it.
    pub fn head(&self, method: &str, path: &str, into: &mut Vec<u8>) {
        for part in [
            method,
            " ",
            &self.prefix,
            path,
            " HTTP/1.1\r\nhost: ",
            &self.authority,
            "\r\n",
        ] {
            into.extend_from_slice(part.as_bytes());
        }
    }

    /// Connects to the first address that answers.
    pub(super) async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(self.addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }
}

/// Trusts the system's authorities.
fn tls(host: &str) -> Result<(TlsConnector, ServerName<'static>), TargetError> {
    let failed = |cause: String| TargetError::Tls {
        host: host.to_owned(),
        cause,
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(failed(
            "the system has no certificate authority to trust".to_owned(),
        ));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((TlsConnector::from(Arc::new(config)), name))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str) -> String {
        let mut head = Vec::new();
        let target = Target::new(url).unwrap();
        target.head("GET", "/health", &mut head);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn a_base_url_may_have_a_path() {
        assert_eq!(
            head("http://127.0.0.1:3000"),
            "GET /health HTTP/1.1\r\nhost: 127.0.0.1:3000\r\n"
        );
        assert_eq!(
            head("HTTP://[::1]:3000/shop/"),
            "GET /shop/health HTTP/1.1\r\nhost: [::1]:3000\r\n"
        );
    }

    #[test]
    fn ports_are_those_of_the_scheme_unless_said() {
        let port = |url| Target::new(url).unwrap().addresses[0].port();
        assert_eq!(port("http://127.0.0.1"), 80);
        assert_eq!(port("http://[::1]"), 80);
        assert_eq!(port("http://[::1]:81"), 81);
    }

    #[test]
    fn nonsense_is_named() {
        for wrong in [
            "",
            "localhost:3000",
            "ftp://localhost",
            "http://",
            "http://:80",
            "http://localhost:port",
            "http://localhost:70000",
            "http://localhost:0",
            "http://user@localhost",
            "http://localhost/?x",
            "http://local host",
            "http://localhost/\r\nx: y",
        ] {
            let error = Target::new(wrong).err();
            assert!(
                matches!(error, Some(TargetError::NotAUrl(_))),
                "{wrong:?}: {error:?}"
            );
        }
    }
}
