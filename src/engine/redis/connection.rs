//! The way to the server or the cluster, and the one way to run a script. Nothing here knows what the scripts do.

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

/// The key that a server outside a cluster proves writes with.
pub(super) const PROBE_KEY: &str = "flashsale:probe";

/// A connection that is made anew by itself for ever. While it is down, commands are refused at once: waiting would only
/// pile work up.
pub(super) struct Connection {
    way: Way,
    /// On a cluster, keys of different sales cannot meet in one script.
    pub(super) clustered: bool,
    /// Whose sales these are, as the scripts take it.
    pub(super) ledger: Value,
}

enum Way {
    Server(Link),
    Cluster(Cluster),
}

impl Connection {
    /// Connects and loads all scripts.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, ConnectError> {
        let config = Arc::new(config.clone());
        let clustered = config.cluster_mode;
        let way = if clustered {
            Way::Cluster(Box::pin(Cluster::open(config)).await?)
        } else {
            let endpoint = if config.sentinel.is_some() {
                Endpoint::Sentinels
            } else {
                Endpoint::At(Address::of(&config))
            };
            Way::Server(Box::pin(Link::open(config, endpoint, PROBE_KEY.to_owned())).await?)
        };
        Ok(Self {
            way,
            clustered,
            ledger: Value::from(String::new()),
        })
    }

    /// Runs a script where its keys are.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, GateError> {
        self.call(&Call::Script(script, &keys, &args)).await
    }

    /// Reads one text key, wherever it is.
    pub(super) async fn get(&self, key: Key) -> Result<Value, GateError> {
        self.call(&Call::Get(&key)).await
    }

    async fn call(&self, call: &Call<'_>) -> Result<Value, GateError> {
        match &self.way {
            Way::Server(link) => {
                let session = link.session()?;
                let answer = call.send(&session, false).await;
                answer.map_err(Failed::into_error)
            }
            Way::Cluster(cluster) => Box::pin(cluster.call(call)).await,
        }
    }

    /// Proves that whatever serves sales takes writes now.
    pub(super) async fn ping(&self) -> Result<(), GateError> {
        match &self.way {
            Way::Server(link) => link.probe().await,
            Way::Cluster(cluster) => cluster.probe().await,
        }
    }

    pub(super) async fn close(&self) {
        match &self.way {
            Way::Server(link) => link.close().await,
            Way::Cluster(cluster) => cluster.close().await,
        }
    }
}
