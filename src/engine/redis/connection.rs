//! The connection to the server or the cluster. All scripts are run through it; what they do is not its concern.

use std::sync::Arc;

use fred::{
    prelude::Value,
    types::{Key, scripts::Script},
};

use super::{
    client::{Address, ConnectError},
    cluster::{Call, Cluster, Nodes},
    link::{Endpoint, Link},
    rights,
    session::{Failed, Session},
};
use crate::{config::RedisConfig, port::GateError};

/// The key that write probes use outside a cluster.
pub(super) const PROBE_KEY: &str = "flashsale:probe";

/// A connection that reconnects by itself without end. While it is down, commands are refused immediately, because waiting
/// commands would pile up.
pub(super) struct Connection {
    transport: Transport,
    /// True on a cluster, where one script cannot use keys of different sales.
    pub(super) clustered: bool,
    pub(super) config: Arc<RedisConfig>,
    /// The id of the ledger whose sales the gate holds, as an argument of scripts; empty without a ledger.
    pub(super) ledger: Value,
}

enum Transport {
    Server(Link),
    Cluster(Cluster),
}

impl Transport {
    fn home(&self, key: &Key) -> Result<Home, GateError> {
        match self {
            Self::Server(link) => Ok(Home {
                session: link.session()?,
                slots: Vec::new(),
                nodes: None,
            }),
            Self::Cluster(cluster) => {
                let (session, slot, nodes) = cluster.home(key)?;
                Ok(Home {
                    session,
                    slots: vec![slot],
                    nodes: Some(nodes),
                })
            }
        }
    }
}

/// A node with its connection at some moment.
pub(super) struct Home {
    pub(super) session: Arc<Session>,
    /// On a cluster: the slots whose keys it has.
    pub(super) slots: Vec<u16>,
    pub(super) nodes: Option<Arc<Nodes>>,
}

impl Home {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }

    /// Whether the connection still stands, and the node still has its slots. A primary that was demoted, or cut off, loses its
    /// connection.
    pub(super) fn is_current(&self) -> bool {
        let has_slots = |nodes: &Arc<Nodes>| {
            let mut slots = self.slots.iter();
            slots.all(|slot| nodes.address_of(*slot).as_ref() == Some(&self.session.address))
        };
        self.session.is_usable() && self.nodes.as_ref().is_none_or(has_slots)
    }
}

impl Connection {
    /// Connects and loads all scripts.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, ConnectError> {
        let config = Arc::new(config.clone());
        let clustered = config.cluster_mode;
        let transport = if clustered {
            Transport::Cluster(Box::pin(Cluster::open(Arc::clone(&config))).await?)
        } else {
            let endpoint = if config.sentinel.is_some() {
                Endpoint::Sentinels
            } else {
                Endpoint::At(Address::of(&config))
            };
            let probe_key = PROBE_KEY.to_owned();
            Transport::Server(Box::pin(Link::open(Arc::clone(&config), endpoint, probe_key)).await?)
        };
        // Any key: one node stands for all.
        if let Ok(home) = transport.home(&PROBE_KEY.into()) {
            rights::check_subscribing(&config, &home.session.address, PROBE_KEY).await?;
        }
        Ok(Self {
            transport,
            clustered,
            config,
            ledger: Value::from(String::new()),
        })
    }

    /// Runs a script on the node that has its keys.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, GateError> {
        self.call(&Call::Script(script, &keys, &args)).await
    }

    /// Reads one string key from the node that has it.
    pub(super) async fn get(&self, key: Key) -> Result<Value, GateError> {
        self.call(&Call::Get(&key)).await
    }

    async fn call(&self, call: &Call<'_>) -> Result<Value, GateError> {
        match &self.transport {
            Transport::Server(link) => {
                let session = link.session()?;
                let answer = call.send(&session, false).await;
                answer.map_err(Failed::into_error)
            }
            Transport::Cluster(cluster) => Box::pin(cluster.call(call)).await,
        }
    }

    /// The node that has a key.
    pub(super) fn home(&self, key: &Key) -> Result<Home, GateError> {
        self.transport.home(key)
    }

    /// The command that announces, as an argument of scripts.
    pub(super) fn publish_command(&self) -> Value {
        let command = if self.clustered {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        command.into()
    }

    /// Proves that the server, or every master of the cluster that serves slots, accepts writes now.
    pub(super) async fn ping(&self) -> Result<(), GateError> {
        match &self.transport {
            Transport::Server(link) => link.probe().await,
            Transport::Cluster(cluster) => cluster.probe().await,
        }
    }

    pub(super) async fn close(&self) {
        match &self.transport {
            Transport::Server(link) => link.close().await,
            Transport::Cluster(cluster) => cluster.close().await,
        }
    }
}
