//! The origin of a request: an address, and the networks that contain it. A client may be able to use other addresses of them.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The network of one client: an IPv4 address, or the /64 of an IPv6 address, since a client with one address of a /64 has them
/// all. The value keeps the whole address for logs. Two values are equal if their networks are equal.
#[derive(Debug, Clone, Copy)]
pub struct Network(IpAddr);

/// The size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The /32 of IPv4, the /64 of IPv6: one line, one machine, or a company behind one address.
    Own,
    /// The /56 of IPv6, which many providers give to one household. IPv4 has none.
    Site,
    /// The /24 of IPv4, the /48 of IPv6: networks that are sold or routed as a whole.
    Block,
}

/// The key of a network in counters: its size and its first address.
pub type Prefix = (Reach, IpAddr);

impl Network {
    /// The whole address. An IPv4 address that came over an IPv6 socket is in its IPv4 form.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// True for a client on this machine.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }

    /// The networks that contain the address, from the narrowest to the widest.
    pub fn prefixes(self) -> impl Iterator<Item = Prefix> {
        let own = (Reach::Own, self.prefix(32, 64));
        let site = self.0.is_ipv6().then(|| (Reach::Site, self.prefix(32, 56)));
        let block = (Reach::Block, self.prefix(24, 48));
        [Some(own), site, Some(block)].into_iter().flatten()
    }

    /// The address with all bits zero except for the first `v4_bits` or `v6_bits`.
    fn prefix(self, v4_bits: u32, v6_bits: u32) -> IpAddr {
        match self.0 {
            IpAddr::V4(address) => {
                let mask = u32::MAX << (u32::BITS - v4_bits);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX << (u128::BITS - v6_bits);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.prefix(32, 64) == other.prefix(32, 64)
    }
}

impl Eq for Network {}

impl Hash for Network {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.prefix(32, 64).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn ipv4_addresses_are_equal_only_to_themselves_and_ipv6_ones_by_their_64() {
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

    #[test]
    fn every_network_is_in_wider_ones() {
        let prefixes_of = |address| {
            let prefixes = network(address).prefixes();
            prefixes
                .map(|(reach, prefix)| format!("{reach:?} {prefix}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            prefixes_of("192.0.2.77"),
            ["Own 192.0.2.77", "Block 192.0.2.0"]
        );
        assert_eq!(prefixes_of("::ffff:192.0.2.77"), prefixes_of("192.0.2.77"));
        assert_eq!(
            prefixes_of("2001:db8:1:2345:6:7:8:9"),
            [
                "Own 2001:db8:1:2345::",
                "Site 2001:db8:1:2300::",
                "Block 2001:db8:1::"
            ]
        );
    }
}
