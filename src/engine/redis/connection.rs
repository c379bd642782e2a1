//! The connection to the server or the cluster. All scripts are run through it; what they do is not its concern.

use std::sync::Arc;

use fred::{
    prelude::Value,
    types::{Key, scripts::Script},
};

use super::{
    client::{Address, ConnectError},
    cluster::{Call, Cluster},
    link::{Endpoint, Link},
    session::Failed,
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
    /// The id of the ledger whose sales the gate holds, as an argument of scripts; empty without a ledger.
    pub(super) ledger: Value,
}

enum Transport {
    Server(Link),
    Cluster(Cluster),
}

impl Connection {
    /// Connects and loads all scripts.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, ConnectError> {
        let config = Arc::new(config.clone());
        let clustered = config.cluster_mode;
        let transport = if clustered {
            Transport::Cluster(Box::pin(Cluster::open(config)).await?)
        } else {
            let endpoint = if config.sentinel.is_some() {
                Endpoint::Sentinels
            } else {
                Endpoint::At(Address::of(&config))
            };
            Transport::Server(Box::pin(Link::open(config, endpoint, PROBE_KEY.to_owned())).await?)
        };
        Ok(Self {
            transport,
            clustered,
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
