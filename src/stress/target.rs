//! The system under load: its address, new connections to it, and the requests that it can be asked.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use hyper::{Method, Uri, header::HeaderValue};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::request::Request;

/// The bytes of a connection, with or without TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why a base URL, or a path below it, cannot be requested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("{0:?} is not a base URL like http://localhost:3000")]
    NotAUrl(String),
    #[error("{0:?} is not a path")]
    NotAPath(String),
    #[error("{host} has no address: {cause}")]
    NoAddress { host: String, cause: String },
    #[error("no certificate of {host} could be checked: {cause}")]
    Tls { host: String, cause: String },
}

/// A base URL with its address.
#[derive(Clone)]
pub struct Target {
    addresses: Vec<SocketAddr>,
    /// The Host header.
    authority: HeaderValue,
    /// The part of the base URL that comes before every path, without a slash at its end.
    prefix: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// Parses a base URL and looks up its addresses. Only the resolver is asked; no connection is opened.
    pub fn new(url: &str) -> Result<Self, TargetError> {
        // A URL that names a user may contain a password.
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
        let target = Self {
            addresses,
            authority: HeaderValue::try_from(authority).map_err(|_| wrong())?,
            prefix: path.trim_end_matches('/').to_owned(),
            tls,
        };
        // Some characters cannot be in a path.
        target.uri("/").map_err(|_| wrong())?;
        Ok(target)
    }

    /// A GET of a path of the system.
    pub fn get(&self, path: &str) -> Result<Request, TargetError> {
        Ok(Request::new(Method::GET, self.uri(path)?))
    }

    /// A POST to a path of the system, with an empty body.
    pub fn post(&self, path: &str) -> Result<Request, TargetError> {
        Ok(Request::new(Method::POST, self.uri(path)?))
    }

    fn uri(&self, path: &str) -> Result<Uri, TargetError> {
        let path = format!("{}{path}", self.prefix);
        if !path.starts_with('/') {
            return Err(TargetError::NotAPath(path));
        }
        Uri::try_from(path.as_str()).map_err(|_| TargetError::NotAPath(path))
    }

    /// The value of the Host header.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Connects to the first address that answers.
    pub(super) async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(self.addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Either::Left(stream)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Ok(Either::Right(Box::new(stream)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path() {
        for (url, path, authority) in [
            ("http://127.0.0.1:3000", "/health", "127.0.0.1:3000"),
            ("HTTP://[::1]:3000/shop/", "/shop/health", "[::1]:3000"),
        ] {
            let target = Target::new(url).unwrap();
            assert_eq!(target.get("/health").unwrap().uri(), path);
            assert_eq!(target.authority(), authority);
        }
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        let target = Target::new("http://127.0.0.1:3000").unwrap();
        for wrong in ["", "health", "/he alth", "/health\r\nx: y"] {
            let refused = TargetError::NotAPath(wrong.to_owned());
            assert_eq!(target.get(wrong).err(), Some(refused), "{wrong:?}");
        }
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
            "http://localhost/<shop>",
        ] {
            let error = Target::new(wrong).err();
            assert!(
                matches!(error, Some(TargetError::NotAUrl(_))),
                "{wrong:?}: {error:?}"
            );
        }
    }
}
