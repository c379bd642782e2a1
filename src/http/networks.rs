//! Limits the open connections of each network, so that no single network can use up the server's limit.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use crate::limit::{Network, Prefix, Reach};

/// The limit of a /56 of IPv6 or a /24 of IPv4, as a multiple of the limit of one network (see [`Network`]). This multiple and
/// [`WIDEST_TIMES`] are small, so that enough connections remain for everybody else.
const WIDER_TIMES: usize = 2;
/// The limit of a /48 of IPv6, as a multiple of the limit of one network.
const WIDEST_TIMES: usize = 3;

/// The number of open connections of each network. Clones share it.
#[derive(Clone)]
pub(super) struct Networks {
    /// Most connections of one network; `None`: no limit.
    limit: Option<usize>,
    /// The trusted proxies. They have no limit: the connections of all their clients come from them.
    exempt: Arc<[IpNet]>,
    open: Arc<Mutex<HashMap<Prefix, usize>>>,
}

/// Counts one connection until it is dropped.
pub(super) struct ConnectionGuard {
    networks: Networks,
    /// `None` if the connection is not counted.
    network: Option<Network>,
}

/// The refusal of a connection: the network `prefix` has `open` connections, which is its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtLimit {
    pub(super) prefix: Prefix,
    pub(super) open: usize,
}

impl Networks {
    pub(super) fn new(limit: Option<usize>, exempt: &[IpNet]) -> Self {
        Self {
            limit,
            exempt: exempt.into(),
            open: Arc::default(),
        }
    }

    /// Counts a connection from this address, unless one of the networks that contain the address is at its limit.
    pub(super) fn enter(&self, address: IpAddr) -> Result<ConnectionGuard, AtLimit> {
        let network = Network::from(address);
        let counted = self.limit.filter(|_| {
            let mut exempt = self.exempt.iter();
            !exempt.any(|proxies| proxies.contains(&network.address()))
        });
        if let Some(limit) = counted {
            let mut open = self.open();
            for prefix in network.prefixes() {
                let count = open.get(&prefix).copied().unwrap_or(0);
                if count >= limit.saturating_mul(times(prefix)) {
                    return Err(AtLimit {
                        prefix,
                        open: count,
                    });
                }
            }
            for prefix in network.prefixes() {
                *open.entry(prefix).or_default() += 1;
            }
        }
        Ok(ConnectionGuard {
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

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut open = self.networks.open();
        for prefix in network.prefixes() {
            if let Some(count) = open.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    // Networks without connections take no memory.
                    open.remove(&prefix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guards of the connections that are let in, of 30 from each address.
    fn enter_all(
        networks: &Networks,
        addresses: impl Iterator<Item = String>,
    ) -> Vec<ConnectionGuard> {
        addresses
            .flat_map(|address| std::iter::repeat_n(address.parse().unwrap(), 30))
            .filter_map(|address| networks.enter(address).ok())
            .collect()
    }

    #[test]
    fn wider_networks_have_a_multiple_of_a_network_s_limit() {
        let full = |addresses: &mut dyn Iterator<Item = String>| {
            let networks = Networks::new(Some(10), &[]);
            enter_all(&networks, addresses).len()
        };
        assert_eq!(full(&mut ["192.0.2.1".to_owned()].into_iter()), 10);
        assert_eq!(full(&mut (0..256).map(|n| format!("192.0.2.{n}"))), 20);
        assert_eq!(full(&mut (0..99).map(|n| format!("2001:db8::{n}"))), 10);
        assert_eq!(full(&mut (0..99).map(|n| format!("2001:db8:0:{n}::1"))), 20);
        let of_48 = (0..9).map(|n| format!("2001:db8:0:{n}00::1"));
        assert_eq!(full(&mut of_48.into_iter()), 30);
    }

    #[test]
    fn a_closed_connection_is_no_longer_counted() {
        let networks = Networks::new(Some(10), &[]);
        let one = || ["192.0.2.1".to_owned()].into_iter();
        let mut all = enter_all(&networks, one());
        all.pop();
        assert_eq!(enter_all(&networks, one()).len(), 1);
        drop(all);
        assert_eq!(networks.open().len(), 0);
    }

    #[test]
    fn proxies_have_no_limit_and_nobody_has_one_without_a_setting() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let networks = Networks::new(Some(10), &proxies);
        let balancer = || ["10.1.2.3".to_owned(), "::ffff:10.1.2.3".to_owned()].into_iter();
        assert_eq!(enter_all(&networks, balancer()).len(), 60);
        let open = Networks::new(None, &[]);
        assert_eq!(
            enter_all(&open, ["192.0.2.1".to_owned()].into_iter()).len(),
            30
        );
    }
}
