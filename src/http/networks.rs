//! Connections by network: no single one may take all places that there are.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use crate::limit::{Network, Prefix, Reach};

/// As many times the connections of one network for a /56 of IPv6 or a /24 of IPv4 together, and for a /48 of IPv6: few, since
/// what they leave must be enough for everybody else.
const WIDER_TIMES: usize = 2;
const WIDEST_TIMES: usize = 3;

/// Who has how many connections. Clones share it.
#[derive(Clone)]
pub(super) struct Networks {
    /// Of one network; `None` lets everybody have all.
    most: Option<usize>,
    /// Proxies: everybody comes from them.
    exempt: Arc<[IpNet]>,
    open: Arc<Mutex<HashMap<Prefix, usize>>>,
}

/// A connection that is counted until this is dropped.
pub(super) struct Seat {
    networks: Networks,
    /// `None` if it is not counted.
    network: Option<Network>,
}

/// Its network has as many as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded {
    pub(super) prefix: Prefix,
    pub(super) open: usize,
}

impl Networks {
    pub(super) fn new(most: Option<usize>, exempt: &[IpNet]) -> Self {
        Self {
            most,
            exempt: exempt.into(),
            open: Arc::default(),
        }
    }

    /// Counts a connection from this address, if its networks may have one more.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Seat, Crowded> {
        let network = Network::from(address);
        let counted = self.most.filter(|_| {
            let mut exempt = self.exempt.iter();
            !exempt.any(|proxies| proxies.contains(&network.address()))
        });
        if let Some(most) = counted {
            let mut open = self.open();
            for prefix in network.prefixes() {
                let count = open.get(&prefix).copied().unwrap_or(0);
                if count >= most.saturating_mul(times(prefix)) {
                    return Err(Crowded {
                        prefix,
                        open: count,
                    });
                }
            }
            for prefix in network.prefixes() {
                *open.entry(prefix).or_default() += 1;
            }
        }
        Ok(Seat {
            networks: self.clone(),
            network: counted.map(|_| network),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Prefix, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn times((reach, address): Prefix) -> usize {
    match reach {
        Reach::Own => 1,
        Reach::Site => WIDER_TIMES,
        Reach::Block if address.is_ipv4() => WIDER_TIMES,
        Reach::Block => WIDEST_TIMES,
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut open = self.networks.open();
        for prefix in network.prefixes() {
            if let Some(count) = open.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    // Only who is here is remembered.
                    open.remove(&prefix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these get in, each tried three times.
    fn seats(networks: &Networks, addresses: impl Iterator<Item = String>) -> Vec<Seat> {
        addresses
            .flat_map(|address| std::iter::repeat_n(address.parse().unwrap(), 30))
            .filter_map(|address| networks.enter(address).ok())
            .collect()
    }

    #[test]
    fn a_network_has_its_share_and_wider_ones_some_times_as_much() {
        let full = |addresses: &mut dyn Iterator<Item = String>| {
            let networks = Networks::new(Some(10), &[]);
            seats(&networks, addresses).len()
        };
        assert_eq!(full(&mut ["192.0.2.1".to_owned()].into_iter()), 10);
        assert_eq!(full(&mut (0..256).map(|n| format!("192.0.2.{n}"))), 20);
        assert_eq!(full(&mut (0..99).map(|n| format!("2001:db8::{n}"))), 10);
        assert_eq!(full(&mut (0..99).map(|n| format!("2001:db8:0:{n}::1"))), 20);
        let of_48 = (0..9).map(|n| format!("2001:db8:0:{n}00::1"));
        assert_eq!(full(&mut of_48.into_iter()), 30);
    }

    #[test]
    fn who_leaves_makes_room_and_is_forgotten() {
        let networks = Networks::new(Some(10), &[]);
        let one = || ["192.0.2.1".to_owned()].into_iter();
        let mut all = seats(&networks, one());
        all.pop();
        assert_eq!(seats(&networks, one()).len(), 1);
        drop(all);
        assert_eq!(networks.open().len(), 0);
    }

    #[test]
    fn proxies_and_development_have_no_limit() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let networks = Networks::new(Some(10), &proxies);
        let balancer = || ["10.1.2.3".to_owned(), "::ffff:10.1.2.3".to_owned()].into_iter();
        assert_eq!(seats(&networks, balancer()).len(), 60);
        let open = Networks::new(None, &[]);
        assert_eq!(seats(&open, ["192.0.2.1".to_owned()].into_iter()).len(), 30);
    }
}
