//! The client for HTTP requests that this service sends: key sets of an issuer, webhooks.
//!
//! It follows no redirects, uses no proxy, limits the time and the length of an answer, and checks the address that it connects
//! to ([`address`]). What is asked, and what an answer means, is the callers' affair.

pub mod address;
mod resolver;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

pub use address::AddressPolicy;
pub use resolver::{Resolver, SystemResolver};

/// Whether requests may be sent without encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemes {
    HttpsOnly,
    HttpAndHttps,
}

/// What a client may do, and how long and how much it accepts.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions {
    pub addresses: AddressPolicy,
    pub schemes: Schemes,
    /// For one request: look-up, connection, answer and its body.
    pub timeout: Duration,
    /// Longest body of an answer, in bytes.
    pub max_body: usize,
}

/// Sends requests. Clones share the pool of connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    options: ClientOptions,
}

/// An answer with its whole body. Redirects are answers like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// The header `Cache-Control`, as it came.
    pub cache_control: Option<String>,
    pub body: Vec<u8>,
}

/// The TLS settings of the client cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("outgoing requests: {0}")]
pub struct ClientError(String);

/// How much of an answer's body was read.
enum Body {
    Whole,
    /// It has more than [`ClientOptions::max_body`].
    CutOff,
}

/// A URL that no request is sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("is no URL: {0}")]
    Malformed(String),
    #[error("must begin with https://")]
    NotHttps,
    #[error("must begin with https:// or http://")]
    UnknownScheme,
    #[error("must not contain a user name or a password")]
    HasCredentials,
    #[error("names the address {0}, which is not one of the public Internet")]
    NotPublic(IpAddr),
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the URL {0}")]
    Url(#[from] UrlError),
    #[error("{host} has the address {address}, which is not one of the public Internet")]
    NotPublic { host: String, address: IpAddr },
    #[error("a header that cannot be sent")]
    Header,
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    #[error("{0}")]
    Connection(String),
}

/// Sends requests with a body. Tests have clients without a network.
#[async_trait]
pub trait Post: Send + Sync {
    /// The answer, whose body may be cut off: only its head counts.
    async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RequestError>;
}

#[async_trait]
impl Post for HttpClient {
    async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RequestError> {
        Self::post(self, url, headers, body).await
    }
}

impl HttpClient {
    /// A client that trusts the certificate authorities of the operating system. Blocks while it reads them.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        Self::with_resolver(options, Arc::new(SystemResolver))
    }

    /// A client that looks names up with `resolver`.
    pub fn with_resolver(
        options: ClientOptions,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .https_only(options.schemes == Schemes::HttpsOnly)
            .timeout(options.timeout)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("flashsale/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver::Checked::new(resolver, options.addresses))
            .build()
            .map_err(|error| ClientError(with_causes(&error)))?;
        Ok(Self { client, options })
    }

    /// Reads a URL and checks what can be checked without a look-up.
    pub fn check_url(&self, text: &str) -> Result<Url, UrlError> {
        check_url(text, self.options)
    }

    /// The answer with its whole body.
    pub async fn get(&self, url: &str, accept: &str) -> Result<Answer, RequestError> {
        let url = self.check_url(url)?;
        let request = self.client.get(url).header("accept", accept);
        match self.send(request).await? {
            (answer, Body::Whole) => Ok(answer),
            (_, Body::CutOff) => Err(RequestError::TooLong(self.options.max_body)),
        }
    }

    /// The answer, whose body may be cut off: only its head counts.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RequestError> {
        let url = self.check_url(url)?;
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            map.insert(
                HeaderName::try_from(*name).map_err(|_| RequestError::Header)?,
                HeaderValue::try_from(*value).map_err(|_| RequestError::Header)?,
            );
        }
        let request = self.client.post(url).headers(map).body(body);
        self.send(request).await.map(|(answer, _)| answer)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(Answer, Body), RequestError> {
        let failed = |error: reqwest::Error| self.cause_of(&error);
        let mut response = request.send().await.map_err(failed)?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (retry_after, cache_control) = (header("retry-after"), header("cache-control"));
        let status = response.status().as_u16();
        let (mut body, mut extent) = (Vec::new(), Body::Whole);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.options.max_body {
                extent = Body::CutOff;
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let answer = Answer {
            status,
            retry_after,
            cache_control,
            body,
        };
        Ok((answer, extent))
    }

    fn cause_of(&self, error: &reqwest::Error) -> RequestError {
        if let Some((host, address)) = resolver::refusal(error) {
            return RequestError::NotPublic { host, address };
        }
        if error.is_timeout() {
            return RequestError::Timeout(self.options.timeout);
        }
        RequestError::Connection(with_causes(error))
    }
}

/// Reads a URL and checks what can be checked without a look-up. A client does the same before each request.
pub fn check_url(text: &str, options: ClientOptions) -> Result<Url, UrlError> {
    let url = Url::parse(text).map_err(|error| UrlError::Malformed(error.to_string()))?;
    match (url.scheme(), options.schemes) {
        ("https", _) | ("http", Schemes::HttpAndHttps) => {}
        (_, Schemes::HttpsOnly) => return Err(UrlError::NotHttps),
        (_, Schemes::HttpAndHttps) => return Err(UrlError::UnknownScheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::HasCredentials);
    }
    // The connector does not look up a host that is an address, so the resolver cannot check it.
    if options.addresses == AddressPolicy::PublicOnly
        && let Some(ip) = literal_address(&url)
        && !address::is_public(ip)
    {
        return Err(UrlError::NotPublic(ip));
    }
    Ok(url)
}

/// The address that a URL has as its host. `url` has already turned decimal, octal and hexadecimal forms into dotted ones.
fn literal_address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse().ok()
}

/// An error with its causes, without the URL: it may have a token in its query.
fn with_causes(error: &reqwest::Error) -> String {
    use std::error::Error;

    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if texts.is_empty() {
        texts.push("the request failed".to_owned());
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests;
