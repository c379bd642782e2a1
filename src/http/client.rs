//! Whose request it is, also behind a load balancer.
//!
//! `X-Forwarded-For` is whatever the client wrote, followed by what each proxy added: the address it got the request
//! from. So it is read from its end, and each entry is believed only if one of our own proxies added it.

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

/// The networks of the proxies whose word is taken.
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

    /// The nearest address that is not one of our proxies', or the furthest that is known.
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
            // A proxy that does not tell whom it serves is the last that is known.
            let Some(address) = address(entry) else { break };
            known = address;
            if !self.trust(known) {
                break;
            }
        }
        known
    }

    /// All shoppers behind a proxy that is not trusted share its limits: the operator must hear of it.
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

/// An address as proxies write it: alone, with a port, or in brackets.
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

    /// Whose request it is, behind proxies in 10.0.0.0/8 and `fd00::/8`.
    fn client(peer: &str, forwarded: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        found(&TrustedProxies(Arc::new(networks)), peer, forwarded)
    }

    fn found(proxies: &TrustedProxies, peer: &str, forwarded: &[&str]) -> String {
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
    fn a_stranger_is_not_believed() {
        for forwarded in [
            &["198.51.100.1"][..],
            &["10.0.0.1"],
            &["127.0.0.1, 10.0.0.7"],
            &[],
        ] {
            assert_eq!(client("203.0.113.5", forwarded), "203.0.113.5");
        }
        let nobody = TrustedProxies(Arc::new([]));
        assert_eq!(found(&nobody, BALANCER, &["198.51.100.1"]), BALANCER);
    }

    #[test]
    fn a_balancer_is_believed_in_what_it_added_itself() {
        assert_eq!(client(BALANCER, &["203.0.113.5"]), "203.0.113.5");
        // What the client wrote stands before it.
        for written in [
            "198.51.100.1",
            "10.0.0.1",
            "127.0.0.1",
            "unknown",
            "",
            ",,,",
            "\u{e4}",
        ] {
            let line = format!("{written}, 203.0.113.5");
            assert_eq!(client(BALANCER, &[&line]), "203.0.113.5", "{written}");
            assert_eq!(client(BALANCER, &[written, "203.0.113.5"]), "203.0.113.5");
        }
    }

    #[test]
    fn proxies_behind_proxies_are_walked_through() {
        let line = "198.51.100.1, 203.0.113.5, 10.1.1.1, 10.2.2.2";
        assert_eq!(client(BALANCER, &[line]), "203.0.113.5");
        let lines = ["198.51.100.1,203.0.113.5", "10.1.1.1", "10.2.2.2"];
        assert_eq!(client(BALANCER, &lines), "203.0.113.5");
    }

    #[test]
    fn what_cannot_be_read_ends_the_walk() {
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
