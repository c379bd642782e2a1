//! The client's address of a request, also behind a load balancer.
//!
//! A client can send `X-Forwarded-For` with any content. Each proxy appends the address from which it received the request.
//! So the header is read from its end, and an entry is believed only if one of our own proxies appended it.

use std::{
    future::{Ready, ready},
    net::IpAddr,
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderValue, X_FORWARDED_FOR},
};
use ipnet::IpNet;

use super::{ApiError, ErrorCode};
use crate::{limit::Network, telemetry::LogThrottle};

/// The network a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub Network);

/// Networks of the proxies whose entries in `X-Forwarded-For` are believed (`TRUSTED_PROXIES`).
#[derive(Debug, Clone)]
pub(super) struct TrustedProxies(pub Arc<[IpNet]>);

impl FromRequest for Client {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (peer, proxies) = (request.peer_addr(), request.app_data::<TrustedProxies>());
        let (Some(peer), Some(proxies)) = (peer, proxies) else {
            return ready(Err(ErrorCode::Internal.into()));
        };
        let address = proxies.client(peer.ip(), request.headers());
        ready(Ok(Self(address.into())))
    }
}

impl TrustedProxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The nearest address that is not one of our proxies. If all known addresses are proxies, the farthest of them.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut known = peer.to_canonical();
        if !self.trust(known) {
            self.warn_of_proxy(known, headers);
            return known;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).map(HeaderValue::as_bytes);
        let lines: Vec<&[u8]> = lines.collect();
        let entries = lines.iter().rev();
        for entry in entries.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            // An entry that is not an address ends the walk: the proxy that appended it is the farthest known address.
            let Some(address) = address(entry) else { break };
            known = address;
            if !self.trust(known) {
                break;
            }
        }
        known
    }

    /// Warns the operator of a proxy while none is trusted: all shoppers behind it share the limits of its address.
    fn warn_of_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        static LOG_THROTTLE: LogThrottle = LogThrottle::new();
        if self.0.is_empty() && headers.contains_key(X_FORWARDED_FOR) && LOG_THROTTLE.allow() {
            tracing::warn!(
                %peer,
                "X-Forwarded-For is not believed, since TRUSTED_PROXIES is empty: if this is a load balancer, all its clients share one limit"
            );
        }
    }
}

/// Parses an address as proxies write it: alone, with a port, or in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let plain = entry.parse::<IpAddr>().ok();
    let with_port = || {
        entry
            .parse()
            .ok()
            .map(|address: std::net::SocketAddr| address.ip())
    };
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = plain.or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALANCER: &str = "10.0.0.7";

    /// The client's address if the trusted proxies are 10.0.0.0/8 and `fd00::/8`.
    fn client(peer: &str, forwarded: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        client_address(&TrustedProxies(Arc::new(networks)), peer, forwarded)
    }

    fn client_address(proxies: &TrustedProxies, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(
                X_FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_ignored() {
        for forwarded in [
            &["198.51.100.1"][..],
            &["10.0.0.1"],
            &["127.0.0.1, 10.0.0.7"],
            &[],
        ] {
            assert_eq!(client("203.0.113.5", forwarded), "203.0.113.5");
        }
        let no_proxies = TrustedProxies(Arc::new([]));
        assert_eq!(
            client_address(&no_proxies, BALANCER, &["198.51.100.1"]),
            BALANCER
        );
    }

    #[test]
    fn only_the_entry_that_a_trusted_balancer_added_is_believed() {
        assert_eq!(client(BALANCER, &["203.0.113.5"]), "203.0.113.5");
        // Text that the client sent comes before the balancer's entry.
        for sent in [
            "198.51.100.1",
            "10.0.0.1",
            "127.0.0.1",
            "unknown",
            "",
            ",,,",
            "\u{e4}",
        ] {
            let line = format!("{sent}, 203.0.113.5");
            assert_eq!(client(BALANCER, &[&line]), "203.0.113.5", "{sent}");
            assert_eq!(client(BALANCER, &[sent, "203.0.113.5"]), "203.0.113.5");
        }
    }

    #[test]
    fn entries_of_several_trusted_proxies_are_skipped() {
        let line = "198.51.100.1, 203.0.113.5, 10.1.1.1, 10.2.2.2";
        assert_eq!(client(BALANCER, &[line]), "203.0.113.5");
        let lines = ["198.51.100.1,203.0.113.5", "10.1.1.1", "10.2.2.2"];
        assert_eq!(client(BALANCER, &lines), "203.0.113.5");
    }

    #[test]
    fn an_entry_that_is_not_an_address_ends_the_walk() {
        for (line, known) in [
            ("203.0.113.5, unknown, 10.1.1.1", "10.1.1.1"),
            ("203.0.113.5, 10.1.1.1,", BALANCER),
            ("203.0.113.5, 10.1.1.1.1", BALANCER),
            ("10.3.3.3, 10.1.1.1", "10.3.3.3"),
        ] {
            assert_eq!(client(BALANCER, &[line]), known, "{line}");
        }
        assert_eq!(client(BALANCER, &[]), BALANCER);
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (entry, address) in [
            ("203.0.113.5:41000", "203.0.113.5"),
            ("  203.0.113.5\t", "203.0.113.5"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
        ] {
            assert_eq!(client(BALANCER, &[entry]), address, "{entry}");
        }
        assert_eq!(client("::ffff:10.0.0.7", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(
            client("fd00::1", &["203.0.113.5, ::ffff:10.1.1.1"]),
            "203.0.113.5"
        );
    }
}
