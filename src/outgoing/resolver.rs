//! Looks up host names for requests, and refuses addresses that the client must not connect to. The addresses that are checked
//! are those that the connection is made to: a name that has other addresses from one look-up to the next (DNS rebinding)
//! gains nothing.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{self, AddressPolicy};

/// Looks up names.
#[async_trait]
pub trait Resolver: Send + Sync {
    async fn addresses_of(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Looks up names as the operating system does.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn addresses_of(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A resolver that refuses names by a policy.
pub(super) struct Checked {
    resolver: Arc<dyn Resolver>,
    policy: AddressPolicy,
}

/// A name that has an address that is not public. A name with addresses of both kinds is refused as a whole: nobody who means
/// well has one.
#[derive(Debug, Clone)]
struct Refused {
    host: String,
    address: IpAddr,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has the address {}", self.host, self.address)
    }
}

impl Error for Refused {}

impl Checked {
    pub(super) fn new(resolver: Arc<dyn Resolver>, policy: AddressPolicy) -> Self {
        Self { resolver, policy }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), self.policy);
        Box::pin(async move {
            let found = resolver.addresses_of(name.as_str()).await?;
            let refused = found.iter().find(|address| match policy {
                AddressPolicy::Any => false,
                AddressPolicy::PublicOnly => !address::is_public(**address),
            });
            if let Some(&address) = refused {
                let host = name.as_str().to_owned();
                return Err(Refused { host, address }.into());
            }
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// The host and the address of the refusal among the causes of an error, if it is one.
pub(super) fn refusal(error: &(dyn Error + 'static)) -> Option<(String, IpAddr)> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some((refused.host.clone(), refused.address));
        }
        cause = error.source();
    }
    None
}
