//! The map from slots to nodes, and how it is read from a node.

use std::{collections::BTreeMap, sync::Arc};

use super::super::{
    client::{Address, ConnectError},
    failure,
    link::Link,
    reply, rights,
    session::Session,
};
use crate::config::RedisConfig;

/// Number of slots of every cluster.
const SLOTS: u16 = 16_384;

/// Which node serves which slots.
#[derive(Default)]
pub(super) struct SlotMap {
    /// First slot, last slot and node of each range. Where ranges overlap, the last one in the list applies.
    pub(super) ranges: Vec<(u16, u16, Arc<Link>)>,
    /// The address of each node, with one of its slots.
    pub(super) addresses: BTreeMap<Address, u16>,
}

impl SlotMap {
    pub(super) fn link(&self, slot: u16) -> Option<Arc<Link>> {
        let serves = |(first, last, _): &&(u16, u16, Arc<Link>)| (*first..=*last).contains(&slot);
        self.ranges
            .iter()
            .rev()
            .find(serves)
            .map(|(_, _, link)| Arc::clone(link))
    }

    pub(super) fn with(&self, slot: u16, link: &Arc<Link>) -> Self {
        let mut ranges = self.ranges.clone();
        ranges.retain(|(first, last, _)| !(*first == slot && *last == slot));
        ranges.push((slot, slot, Arc::clone(link)));
        Self {
            ranges,
            addresses: self.addresses.clone(),
        }
    }

    pub(super) fn nodes(&self) -> BTreeMap<Address, u16> {
        self.addresses.clone()
    }

    pub(super) fn is_whole(&self) -> bool {
        let mut next = 0;
        let mut ranges: Vec<_> = self
            .ranges
            .iter()
            .map(|(first, last, _)| (*first, *last))
            .collect();
        ranges.sort_unstable();
        for (first, last) in ranges {
            if first > next {
                return false;
            }
            next = next.max(last + 1);
        }
        next == SLOTS
    }
}

/// Reads CLUSTER SLOTS: first slot, last slot and master of each range.
pub(super) async fn read_slots(
    config: &RedisConfig,
    session: &Session,
) -> Result<Vec<(u16, u16, Address)>, ConnectError> {
    let answer = session
        .command("CLUSTER", vec!["SLOTS".into()], false)
        .await
        .map_err(|failed| {
            if failure::code(&failed.error) == Some("ERR") {
                let cause = format!("{}: {}", session.address, failed.error.details());
                ConnectError::WrongMode(cause)
            } else {
                rights::missing_or(config, session, failed)
            }
        })?;
    let unreadable = || ConnectError::Unreachable("CLUSTER SLOTS cannot be read".to_owned());
    let ranges = reply::list(answer).map_err(|_| unreadable())?;
    let mut found = Vec::new();
    for range in ranges {
        let parts = reply::list(range).map_err(|_| unreadable())?;
        let [first, last, master, ..] = &parts[..] else {
            return Err(unreadable());
        };
        let slot = |value| {
            reply::number(value)
                .ok()
                .and_then(|slot| u16::try_from(slot).ok())
        };
        let node = reply::list(master.clone()).map_err(|_| unreadable())?;
        let [host, port, ..] = &node[..] else {
            return Err(unreadable());
        };
        let (Some(first), Some(last), Some(port)) = (slot(first), slot(last), slot(port)) else {
            return Err(unreadable());
        };
        // A node that does not know its own address is reached at the address that was asked.
        let host = match reply::text(host) {
            Ok("" | "?") | Err(_) => session.address.host.as_str(),
            Ok(host) => host,
        };
        found.push((first, last.min(SLOTS - 1), Address::new(host, port)));
    }
    Ok(found)
}
