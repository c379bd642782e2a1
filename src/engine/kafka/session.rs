//! Sessions of rskafka. Each request has a deadline, and an error discards the session if `Failure::session_fate` says so.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use rskafka::{
    BackoffConfig,
    client::{
        Client, ClientBuilder,
        error::Error,
        partition::{PartitionClient, UnknownTopicHandling},
    },
};
use tokio::{
    sync::{Mutex, OnceCell},
    time::timeout_at,
};

use super::{ConnectError, connection::Security, error_table::SessionFate, failure::Failure};
use crate::config::KafkaConfig;

/// Delay between the starts of connections to two successive brokers, which then run concurrently.
const NEXT_BROKER_DELAY: Duration = Duration::from_millis(250);

/// Holds at most one session, which is opened when a request needs it.
pub(super) struct Sessions {
    brokers: Vec<String>,
    client_id: String,
    security: Security,
    current: Mutex<Option<Arc<Session>>>,
}

/// An rskafka client with its connections to partition leaders.
struct Session {
    client: Client,
    partitions: std::sync::Mutex<HashMap<(String, i32), Leader>>,
}

/// The connection to a partition's leader. Each is opened separately, so that a leader that does not answer delays its own
/// partition only.
type Leader = Arc<OnceCell<Arc<PartitionClient>>>;

impl Sessions {
    pub(super) fn new(config: &KafkaConfig, security: &Security) -> Self {
        Self {
            brokers: config.brokers.clone(),
            client_id: config.client_id.clone(),
            security: security.clone(),
            current: Mutex::new(None),
        }
    }

    /// Sends one request about a partition. If the request is not answered by the deadline, its outcome is unknown and the
    /// session is discarded.
    pub(super) async fn with<T, F>(
        &self,
        topic: &str,
        partition: i32,
        deadline: Instant,
        request: impl FnOnce(Arc<PartitionClient>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let session = self.session(deadline).await?;
        let failure = match timeout_at(deadline.into(), session.leader(topic, partition)).await {
            Ok(Ok(client)) => match timeout_at(deadline.into(), request(client)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Failure::of(&error),
                Err(_) => Failure::NoAnswer("no answer in time".to_owned()),
            },
            Ok(Err(error)) => Failure::of_lookup(&error),
            Err(_) => Failure::NotSent("no answer from the partition's leader".to_owned()),
        };
        if failure.session_fate() == SessionFate::Discard {
            self.discard(&session).await;
        }
        Err(failure)
    }

    async fn session(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        let timed_out = |_| Failure::NotSent("no broker answers in time".to_owned());
        let mut current = timeout_at(deadline.into(), self.current.lock())
            .await
            .map_err(timed_out)?;
        if let Some(session) = &*current {
            return Ok(Arc::clone(session));
        }
        let client = timeout_at(deadline.into(), self.client())
            .await
            .map_err(timed_out)??;
        let session = Arc::new(Session {
            client,
            partitions: std::sync::Mutex::default(),
        });
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// A client of the first broker that accepts it; it sends every request once. The brokers are tried concurrently here,
    /// because rskafka asks them one after the other and waits for a silent one as long as TCP does.
    pub(super) async fn client(&self) -> Result<Client, ConnectError> {
        let mut trials: FuturesUnordered<_> = self
            .brokers
            .iter()
            .zip(0..)
            .map(|(broker, place)| {
                // Boxed because the types of rskafka's futures are nested too deeply for the compiler.
                let trial = async move {
                    tokio::time::sleep(NEXT_BROKER_DELAY * place).await;
                    self.builder(broker).build().await
                };
                trial.boxed()
            })
            .collect();
        let mut cause = "there is no broker".to_owned();
        while let Some(trial) = trials.next().await {
            match trial {
                Ok(client) => return Ok(client),
                Err(error) => cause = error.to_string(),
            }
        }
        Err(ConnectError::Unreachable(cause))
    }

    fn builder(&self, broker: &str) -> ClientBuilder {
        let mut builder = ClientBuilder::new(vec![broker.to_owned()])
            .client_id(self.client_id.as_str())
            .backoff_config(BackoffConfig {
                deadline: Some(Duration::ZERO),
                ..BackoffConfig::default()
            });
        if let Some(tls) = self.security.tls() {
            builder = builder.tls_config(tls);
        }
        if let Some(sasl) = self.security.sasl() {
            builder = builder.sasl_config(sasl);
        }
        builder
    }

    /// Drops this session, so that the next request opens a new one. A session that has replaced it already is kept.
    async fn discard(&self, session: &Arc<Session>) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            *current = None;
        }
    }
}

impl Session {
    async fn leader(&self, topic: &str, partition: i32) -> Result<Arc<PartitionClient>, Error> {
        let leader = {
            let mut partitions = self
                .partitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let leader = partitions.entry((topic.to_owned(), partition));
            Arc::clone(leader.or_default())
        };
        let connect = || async {
            self.client
                .partition_client(topic, partition, UnknownTopicHandling::Error)
                .boxed()
                .await
                .map(Arc::new)
        };
        leader.get_or_try_init(connect).await.map(Arc::clone)
    }
}

/// The pause after try number `tries` of a request: 100 ms, 200 ms, then 400 ms.
pub(super) fn retry_pause(tries: u32) -> Duration {
    Duration::from_millis(50 << tries.min(3))
}
