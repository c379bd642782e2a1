//! Connections to Kafka, each request with a deadline, thrown away when in doubt.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use rskafka::{
    BackoffConfig,
    client::{
        Client, ClientBuilder, Credentials, SaslConfig as SaslLogin,
        error::Error,
        partition::{PartitionClient, UnknownTopicHandling},
    },
};
use tokio::{sync::Mutex, time::timeout_at};

use super::failure::{Failure, server_error};
use crate::{
    config::{KafkaConfig, SaslConfig, SaslMechanism},
    engine::tls::{self, Files, Verification},
};

/// Why there is no connection to Kafka.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// Worth trying again later.
    #[error("Kafka cannot be reached ({0}); see KAFKA_BROKERS and KAFKA_TLS")]
    Unreachable(String),
    #[error(
        "Kafka refuses the credentials ({0}); see KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
    )]
    CredentialsRefused(String),
    #[error(
        "Kafka has no topic {0}; run `flashsale migrate` first, or see KAFKA_TOPIC_FLASH_SALE_ATTEMPTS"
    )]
    TopicMissing(String),
    #[error(
        "Kafka refuses to make topic {topic} ({cause}); see KAFKA_PARTITIONS and KAFKA_REPLICATION_FACTOR"
    )]
    TopicRefused { topic: String, cause: String },
    #[error("KAFKA_CA_FILE: {0}")]
    Authorities(String),
}

impl ConnectError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// One connection at a time, made when it is needed.
pub(super) struct Sessions {
    brokers: Vec<String>,
    client_id: String,
    tls: Option<Arc<rustls::ClientConfig>>,
    sasl: Option<SaslConfig>,
    connect_timeout: Duration,
    current: Mutex<Option<Arc<Session>>>,
}

/// A client with its connections to the leaders of partitions.
struct Session {
    client: Client,
    partitions: Mutex<HashMap<(String, i32), Arc<PartitionClient>>>,
}

impl Sessions {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, ConnectError> {
        Ok(Self {
            brokers: config.brokers.clone(),
            client_id: config.client_id.clone(),
            tls: if config.tls {
                Some(tls(config.ca_file.as_deref())?)
            } else {
                None
            },
            sasl: config.sasl.clone(),
            connect_timeout: config.append_timeout,
            current: Mutex::new(None),
        })
    }

    /// Sends one request about a partition. After the deadline its outcome is unknown, and the session is given up.
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
        let client = match timeout_at(deadline.into(), session.partition(topic, partition)).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                self.give_up(&session).await;
                return Err(match server_error(&error) {
                    Some(refusal) => Failure::Refused(refusal),
                    None => Failure::NotSent(error.to_string()),
                });
            }
            Err(_) => {
                self.give_up(&session).await;
                return Err(Failure::NotSent(
                    "no answer from the partition's leader".to_owned(),
                ));
            }
        };
        match timeout_at(deadline.into(), request(client)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let failure = Failure::of(&error);
                if !matches!(failure, Failure::OutOfRange) {
                    self.give_up(&session).await;
                }
                Err(failure)
            }
            Err(_) => {
                self.give_up(&session).await;
                Err(Failure::NoAnswer("no answer in time".to_owned()))
            }
        }
    }

    /// How many partitions each of these topics has.
    pub(super) async fn partitions_of(&self, topics: &[&str]) -> Result<Vec<i32>, ConnectError> {
        let session = self.session(Instant::now() + self.connect_timeout).await?;
        let listed = tokio::time::timeout(self.connect_timeout, session.client.list_topics())
            .await
            .map_err(|_| ConnectError::Unreachable("no answer in time".to_owned()))?
            .map_err(|error| connect_error(&error))?;
        topics
            .iter()
            .map(|name| {
                let topic = listed.iter().find(|topic| topic.name == *name);
                let count = topic.and_then(|topic| i32::try_from(topic.partitions.len()).ok());
                count.ok_or_else(|| ConnectError::TopicMissing((*name).to_owned()))
            })
            .collect()
    }

    async fn session(&self, deadline: Instant) -> Result<Arc<Session>, ConnectError> {
        let unreachable = |_| ConnectError::Unreachable("no answer in time".to_owned());
        let mut current = timeout_at(deadline.into(), self.current.lock())
            .await
            .map_err(unreachable)?;
        if let Some(session) = &*current {
            return Ok(Arc::clone(session));
        }
        let client = timeout_at(deadline.into(), self.client())
            .await
            .map_err(unreachable)??;
        let session = Arc::new(Session {
            client,
            partitions: Mutex::new(HashMap::new()),
        });
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// A client that tries everything once.
    pub(super) async fn client(&self) -> Result<Client, ConnectError> {
        let mut builder = ClientBuilder::new(self.brokers.clone())
            .client_id(self.client_id.as_str())
            .backoff_config(BackoffConfig {
                deadline: Some(Duration::ZERO),
                ..BackoffConfig::default()
            });
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(Arc::clone(tls));
        }
        if let Some(sasl) = &self.sasl {
            let credentials =
                Credentials::new(sasl.username.clone(), sasl.password.reveal().to_owned());
            builder = builder.sasl_config(match sasl.mechanism {
                SaslMechanism::Plain => SaslLogin::Plain(credentials),
                SaslMechanism::ScramSha256 => SaslLogin::ScramSha256(credentials),
                SaslMechanism::ScramSha512 => SaslLogin::ScramSha512(credentials),
            });
        }
        builder.build().await.map_err(|error| connect_error(&error))
    }

    /// Lets the next request connect anew, unless that happened already.
    async fn give_up(&self, session: &Arc<Session>) {
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
    async fn partition(&self, topic: &str, partition: i32) -> Result<Arc<PartitionClient>, Error> {
        let mut partitions = self.partitions.lock().await;
        if let Some(client) = partitions.get(&(topic.to_owned(), partition)) {
            return Ok(Arc::clone(client));
        }
        let client = self
            .client
            .partition_client(topic, partition, UnknownTopicHandling::Error)
            .await?;
        let client = Arc::new(client);
        partitions.insert((topic.to_owned(), partition), Arc::clone(&client));
        Ok(client)
    }
}

/// The pause before the next try of a request.
pub(super) fn retry_pause(tries: u32) -> Duration {
    Duration::from_millis(50 << tries.min(6))
}

fn connect_error(error: &Error) -> ConnectError {
    let text = error.to_string();
    if text.contains("Sasl") || text.contains("SASL") {
        ConnectError::CredentialsRefused(text)
    } else {
        ConnectError::Unreachable(text)
    }
}

pub(super) fn tls(ca_file: Option<&str>) -> Result<Arc<rustls::ClientConfig>, ConnectError> {
    let files = Files {
        authorities: ca_file,
        identity: None,
    };
    tls::client_config(files, Verification::Full)
        .map_err(|error| ConnectError::Authorities(error.to_string()))
}
