//! The part of an address that its owner cannot change at will.

use std::net::{IpAddr, Ipv6Addr};

/// One client's network: an IPv4 address, or the /64 of an IPv6 address, since whoever has one of its addresses has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

impl Network {
    /// True for this machine: 127.0.0.0/8 and the /64 of ::1, in which nobody else is.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => address.is_unspecified(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn ipv4_addresses_are_told_apart_and_ipv6_ones_by_their_64() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(
            network("2001:db8:0:1::1"),
            network("2001:db8:0:1:ffff:ffff:ffff:ffff")
        );
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_on_an_ipv6_socket() {
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }
}
