//! The nodes of a Redis Cluster: a map from slots to nodes, updated from the nodes' answers, and commands that follow
//! redirections.
//!
//! A redirected command was not executed, so it is safe to send it to the target of the redirection. A command whose connection
//! broke is never sent again.

mod slot_map;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use fred::{prelude::Value, types::Key, util::redis_keyslot};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use self::slot_map::{SlotMap, read_slots};
use super::{
    client::{Address, ConnectError, Login},
    failure::{self, Remedy},
    link::{Endpoint, Link},
    opening::open_session,
    reply,
    session::{Failed, Session},
};
use crate::{config::RedisConfig, port::GateError, telemetry::metric};

/// Maximum number of redirections of one command: one to the slot's new node, one to a node that imports the slot, and some
/// more in case the slot moves again.
const MAX_REDIRECTIONS: usize = 5;
/// Time limit for a command whose keys are on two nodes, or whose new node is still being connected to.
const RETRY_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before a command is sent again because its keys are on two nodes.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Intervals of reading the slots: while a node is not connected (its replica may have taken over its slots), and otherwise.
const REFRESH: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Minimum age at which the link to a node without slots is dropped. A newer node may be importing its first slot.
const MIN_LINK_AGE: Duration = Duration::from_mins(1);

/// The links to all masters that serve slots, and the task that updates the slot map.
pub(super) struct Cluster {
    nodes: Arc<Nodes>,
    task: JoinHandle<()>,
}

pub(super) struct Nodes {
    config: Arc<RedisConfig>,
    links: Mutex<BTreeMap<Address, Arc<Link>>>,
    slots: ArcSwap<SlotMap>,
    refresh: Notify,
}

/// A command in a form that can be sent again on another connection.
pub(super) enum Call<'a> {
    Script(&'a fred::types::scripts::Script, &'a [Key], &'a [Value]),
    Get(&'a Key),
}

impl Call<'_> {
    fn slot(&self) -> u16 {
        match self {
            Self::Script(_, keys, _) => keys.first().map_or(0, |key| redis_keyslot(key.as_bytes())),
            Self::Get(key) => redis_keyslot(key.as_bytes()),
        }
    }

    pub(super) async fn send(&self, session: &Session, asking: bool) -> Result<Value, Failed> {
        match self {
            Self::Script(script, keys, args) => session.run(script, keys, args, asking).await,
            Self::Get(key) => {
                session
                    .command("GET", vec![key.as_bytes().into()], asking)
                    .await
            }
        }
    }
}

impl Cluster {
    /// Reads the slots from the configured node, and connects to all masters that serve some.
    pub(super) async fn open(config: Arc<RedisConfig>) -> Result<Self, ConnectError> {
        let seed = Address::of(&config);
        let session = Session::bare(&config, &seed, Login::of(&config)).await?;
        let map = read_slots(&config, &session).await?;
        let nodes = Arc::new(Nodes {
            config,
            links: Mutex::default(),
            slots: ArcSwap::from_pointee(SlotMap::default()),
            refresh: Notify::new(),
        });
        nodes.use_map(map);
        // A failure to connect to the first master is returned: its cause may be a setting that an operator has to change.
        let first = nodes.slots.load().nodes().into_iter().next();
        if let Some((address, slot)) = first {
            open_session(&nodes.config, &address, &probe_key(slot)).await?;
        }
        let deadline = Instant::now() + nodes.config.command_timeout;
        for link in nodes.serving() {
            let _ = link.session_by(deadline).await;
        }
        // The gate owns this task, not the process's task tracker: the task ends when the gate is dropped.
        #[allow(clippy::disallowed_methods)]
        let task = tokio::spawn(Arc::clone(&nodes).refresh_slots());
        Ok(Self { nodes, task })
    }

    /// Sends a command to the node that has its keys, following redirections.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Value, GateError> {
        let slot = call.slot();
        let deadline = Instant::now() + RETRY_TIMEOUT.min(self.nodes.config.command_timeout);
        let mut session = self.nodes.link_of(slot)?.session()?;
        let mut asking = false;
        let mut redirections = 0;
        loop {
            let failed = match call.send(&session, asking).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match failed.failure.remedy {
                Remedy::Moved | Remedy::Ask if redirections < MAX_REDIRECTIONS => {
                    let Some((_, host, port)) =
                        failure::redirection(&failed.error, &session.address.host)
                    else {
                        return Err(failed.into_error());
                    };
                    redirections += 1;
                    metrics::counter!(metric::REDIS_REDIRECTIONS).increment(1);
                    asking = failed.failure.remedy == Remedy::Ask;
                    let link = self.nodes.link_to(&Address::new(host, port), slot);
                    if !asking {
                        self.nodes.moved(slot, &link);
                    }
                    session = link.session_by(deadline).await?;
                }
                Remedy::Retry if Instant::now() + RETRY_PAUSE < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    // The slot may have moved meanwhile, so its node is looked up again.
                    asking = false;
                    session = self.nodes.link_of(slot)?.session()?;
                }
                Remedy::Discard => {
                    self.nodes.refresh.notify_one();
                    return Err(failed.into_error());
                }
                _ => return Err(failed.into_error()),
            }
        }
    }

    /// The connection to the node that has a key, with the key's slot and the nodes that it was looked up in.
    pub(super) fn home(&self, key: &Key) -> Result<(Arc<Session>, u16, Arc<Nodes>), GateError> {
        let slot = redis_keyslot(key.as_bytes());
        let session = self.nodes.link_of(slot)?.session()?;
        Ok((session, slot, Arc::clone(&self.nodes)))
    }

    /// Proves that every master that serves slots accepts writes, including those without a sale: shoppers' results are spread
    /// over all slots, and a settlement cannot be recorded while its result cannot be written.
    pub(super) async fn probe(&self) -> Result<(), GateError> {
        if !self.nodes.slots.load().is_whole() {
            let cause = "not every slot of the cluster is served".to_owned();
            return Err(GateError::Refused(cause));
        }
        let links = self.nodes.serving();
        let probes = links.iter().map(|link| link.probe());
        reply::all(probes).await.map(drop)
    }

    pub(super) async fn close(&self) {
        self.task.abort();
        let links: Vec<_> = self.nodes.lock().values().cloned().collect();
        futures::future::join_all(links.iter().map(|link| link.close())).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Nodes {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Address, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of the node that serves a slot, as far as it is connected.
    pub(super) fn address_of(&self, slot: u16) -> Option<Address> {
        let session = self.link_of(slot).ok()?.session().ok()?;
        Some(session.address.clone())
    }

    fn link_of(&self, slot: u16) -> Result<Arc<Link>, GateError> {
        self.slots.load().link(slot).ok_or_else(|| {
            self.refresh.notify_one();
            GateError::Refused("no node of the cluster serves the sale's slot".to_owned())
        })
    }

    /// The link to a node, which is created if there is none. `slot` is one that the node serves.
    fn link_to(&self, address: &Address, slot: u16) -> Arc<Link> {
        let mut links = self.lock();
        let make = || {
            Arc::new(Link::begin(
                Arc::clone(&self.config),
                Endpoint::At(address.clone()),
                probe_key(slot),
            ))
        };
        Arc::clone(links.entry(address.clone()).or_insert_with(make))
    }

    /// Applies a MOVED reply, which is newer than the map.
    fn moved(&self, slot: u16, link: &Arc<Link>) {
        self.slots.rcu(|map| map.with(slot, link));
        self.refresh.notify_one();
    }

    /// The links of all masters that serve slots, each once.
    fn serving(&self) -> Vec<Arc<Link>> {
        let map = self.slots.load();
        let mut links: Vec<Arc<Link>> = Vec::new();
        for (_, _, link) in &map.ranges {
            if !links.iter().any(|known| Arc::ptr_eq(known, link)) {
                links.push(Arc::clone(link));
            }
        }
        links
    }

    fn use_map(&self, found: Vec<(u16, u16, Address)>) {
        let ranges: Vec<_> = found
            .iter()
            .map(|(first, last, address)| (*first, *last, self.link_to(address, *first)))
            .collect();
        self.lock().retain(|address, link| {
            found.iter().any(|(_, _, known)| known == address)
                || link.since.elapsed() < MIN_LINK_AGE
        });
        let addresses = found
            .into_iter()
            .map(|(first, _, address)| (address, first));
        self.slots.store(Arc::new(SlotMap {
            addresses: addresses.collect(),
            ranges,
        }));
    }

    /// Reads the slots without end: soon after a redirection or a broken connection, otherwise at the intervals of [`REFRESH`].
    async fn refresh_slots(self: Arc<Self>) {
        let mut turn = 0;
        let mut last_read = Instant::now();
        loop {
            let wanted = tokio::time::timeout(REFRESH.0, self.refresh.notified()).await;
            let is_down = || self.serving().iter().any(|link| link.session().is_err());
            if wanted.is_err() && !is_down() && last_read.elapsed() < REFRESH.1 {
                continue;
            }
            turn += 1;
            last_read = Instant::now();
            match self.read_map(turn).await {
                Ok(map) => self.use_map(map),
                Err(error) => tracing::debug!(%error, "the cluster's slots cannot be read"),
            }
            // At most one read in 100 ms, however many commands are redirected.
            tokio::time::sleep(RETRY_PAUSE * 5).await;
        }
    }

    /// Reads the slots from a connected node, a different one on each `turn`: a node that is cut off from the others does not
    /// learn of changes. If no node is connected, asks the configured one.
    async fn read_map(&self, turn: usize) -> Result<Vec<(u16, u16, Address)>, ConnectError> {
        let up: Vec<_> = self
            .lock()
            .values()
            .filter_map(|link| link.session().ok())
            .collect();
        if let Some(session) = turn.checked_rem(up.len()).and_then(|index| up.get(index)) {
            return read_slots(&self.config, session).await;
        }
        let seed = Address::of(&self.config);
        let session = Session::bare(&self.config, &seed, Login::of(&self.config)).await?;
        read_slots(&self.config, &session).await
    }
}

/// The key that write probes use in a slot. Found by trying numbers: one of about 16,384 falls in the slot.
fn probe_key(slot: u16) -> String {
    (0_u32..1_000_000)
        .map(|number| format!("flashsale:probe:{{{number}}}"))
        .find(|key| redis_keyslot(key.as_bytes()) == slot)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_s_key_is_in_its_slot() {
        for slot in [0, 1, 5_461, 16_383] {
            assert_eq!(redis_keyslot(probe_key(slot).as_bytes()), slot);
        }
    }
}
