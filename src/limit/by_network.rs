//! A rate limit by network, with further limits for the wider networks that contain it: the owner of a /48 of IPv6 has 65,536
//! networks of /64, and the owner of a /24 of IPv4 has 256 addresses.

use std::time::Duration;

use super::{Limiter, Network, Reach, TooMany};

/// The limit of a /56 of IPv6, as a multiple of the limit of one network.
const SITE_TIMES: u32 = 4;
/// The limit of a /48 of IPv6 or a /24 of IPv4, as a multiple of the limit of one network. A /24 may be shared by many companies.
const BLOCK_TIMES: u32 = 16;

/// Admits a number of uses of each network in a period, and a multiple of it of each wider network.
pub struct NetworkLimiter {
    own: Limiter,
    site: Limiter,
    block: Limiter,
}

impl NetworkLimiter {
    /// Admits `count` uses of one network in a `period`; a count of 0 means no limit.
    #[must_use]
    pub fn new(count: u32, period: Duration) -> Self {
        let times = |times: u32| Limiter::new(count.saturating_mul(times), period);
        Self {
            own: times(1),
            site: times(SITE_TIMES),
            block: times(BLOCK_TIMES),
        }
    }

    /// The number of uses that a network has after a long pause; 0 if there is no limit.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.own.burst()
    }

    /// Takes `uses` uses of a network and of each network that contains it, or none of them.
    pub fn take(&self, network: Network, uses: u32) -> Result<(), TooMany> {
        // Without a limit there is nothing to look up.
        if self.burst() == 0 {
            return Ok(());
        }
        for (taken, prefix) in network.prefixes().enumerate() {
            if let Err(refused) = self.limiter(prefix.0).take(&prefix, uses) {
                for prefix in network.prefixes().take(taken) {
                    self.limiter(prefix.0).give_back(&prefix, uses);
                }
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Gives back uses that were taken and turned out not to count.
    pub fn give_back(&self, network: Network, uses: u32) {
        for prefix in network.prefixes() {
            self.limiter(prefix.0).give_back(&prefix, uses);
        }
    }

    fn limiter(&self, reach: Reach) -> &Limiter {
        match reach {
            Reach::Own => &self.own,
            Reach::Site => &self.site,
            Reach::Block => &self.block,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;

    /// The number of admitted requests, of 20 from each address, which is twice the limit of one address.
    fn let_in(limiter: &NetworkLimiter, addresses: impl Iterator<Item = IpAddr>) -> usize {
        addresses
            .flat_map(|address| std::iter::repeat_n(Network::from(address), 20))
            .filter(|network| limiter.take(*network, 1).is_ok())
            .count()
    }

    fn of_48(networks: std::ops::Range<u128>) -> impl Iterator<Item = IpAddr> {
        let base = u128::from_be_bytes([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        networks.map(move |number| Ipv6Addr::from_bits(base + (number << 64)).into())
    }

    fn limiter() -> NetworkLimiter {
        NetworkLimiter::new(10, Duration::from_hours(24))
    }

    #[test]
    fn a_64_has_its_allowance_a_56_four_times_and_a_48_sixteen_times_as_much() {
        assert_eq!(let_in(&limiter(), of_48(0..1)), 10);
        assert_eq!(let_in(&limiter(), of_48(0..256)), 40);
        assert_eq!(let_in(&limiter(), of_48(0..65_536)), 160);
    }

    #[test]
    fn an_ipv4_address_has_its_allowance_and_a_24_sixteen_times_as_much() {
        let addresses = |count: u8| (0..count).map(|last| IpAddr::from([192, 0, 2, last]));
        assert_eq!(let_in(&limiter(), addresses(1)), 10);
        assert_eq!(let_in(&limiter(), addresses(255)), 160);
        let limiter = limiter();
        let_in(&limiter, addresses(255));
        let neighbour = Network::from(IpAddr::from([192, 0, 3, 1]));
        assert_eq!(limiter.take(neighbour, 10), Ok(()));
    }

    #[test]
    fn what_a_wider_network_refuses_is_not_taken_from_a_narrower_one() {
        let limiter = limiter();
        let_in(&limiter, of_48(0..65_535));
        let last = Network::from(of_48(65_535..65_536).next().unwrap());
        assert!(limiter.take(last, 1).is_err());
        let prefix = last.prefixes().next().unwrap();
        assert_eq!(limiter.own.take(&prefix, 10), Ok(()), "all ten are there");
    }

    #[test]
    fn uses_that_are_given_back_come_back_in_all_networks() {
        let limiter = limiter();
        for network in of_48(0..16).map(Network::from) {
            for _ in 0..30 {
                assert_eq!(limiter.take(network, 10), Ok(()));
                limiter.give_back(network, 10);
            }
        }
    }

    #[test]
    fn a_limit_of_zero_lets_everything_through() {
        let none = NetworkLimiter::new(0, Duration::from_hours(24));
        assert_eq!(let_in(&none, of_48(0..100)), 2_000);
    }
}
