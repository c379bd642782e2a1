//! Sessions of rskafka, each request with a deadline, discarded when an error says so.

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

use super::{ConnectError, connection::Security, error_table::Session as Fate, failure::Failure};
use crate::config::KafkaConfig;

/// How long one broker is waited for before the next one is tried beside it.
const NEXT_BROKER: Duration = Duration::from_millis(250);

/// One session at a time, made when it is needed.
pub(super) struct Sessions {
    brokers: Vec<String>,
    client_id: String,
    security: Security,
    current: Mutex<Option<Arc<Session>>>,
}

/// A client with its connections to the leaders of partitions.
struct Session {
    client: Client,
    partitions: std::sync::Mutex<HashMap<(String, i32), Leader>>,
}

/// The connection to a partition's leader. Each is made by itself, so that a leader that does not answer holds up its own
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

    /// Sends one request about a partition. After the deadline its outcome is unknown, and the session is discarded.
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
        if failure.session() == Fate::Discard {
            self.discard(&session).await;
        }
        Err(failure)
    }

    async fn session(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        let late = |_| Failure::NotSent("no broker answers in time".to_owned());
        let mut current = timeout_at(deadline.into(), self.current.lock())
            .await
            .map_err(late)?;
        if let Some(session) = &*current {
            return Ok(Arc::clone(session));
        }
        let client = timeout_at(deadline.into(), self.client())
            .await
            .map_err(late)??;
        let session = Arc::new(Session {
            client,
            partitions: std::sync::Mutex::default(),
        });
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// A client that tries everything once, of the first broker that lets it in. rskafka itself asks the brokers one after
    /// the other, and waits for one that does not answer as long as TCP does.
    pub(super) async fn client(&self) -> Result<Client, ConnectError> {
        let mut trials: FuturesUnordered<_> = self
            .brokers
            .iter()
            .zip(0..)
            .map(|(broker, place)| {
                // Boxed: the types of rskafka's futures are too deep for the compiler.
                let trial = async move {
                    tokio::time::sleep(NEXT_BROKER * place).await;
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

    /// Lets the next request connect anew, unless that happened already.
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

/// The pause before the next try of a request.
pub(super) fn retry_pause(tries: u32) -> Duration {
    Duration::from_millis(50 << tries.min(3))
}
