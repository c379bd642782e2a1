//! Creates the topics, for `migrate` and for tests.

use std::time::Duration;

use rskafka::client::error::ProtocolError;
use tokio::time::{Instant, timeout};

use super::{
    ConnectError,
    connection::{Connection, Security, metadata_of},
    failure::server_error,
    session::{Sessions, retry_pause},
};
use crate::config::KafkaConfig;

/// Time limit of each step: connecting, creating a topic on the brokers, and reading its metadata.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic may stay unknown to the broker after its creation. The brokers' metadata can be seconds late while they
/// are busy.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(30);

/// For each topic: its name, its number of partitions, and whether this call created it.
pub type CreatedTopics = Vec<(String, i32, bool)>;

/// Creates the topics of attempts, of dead letters and, if the settings name one, of events, if they are missing. An existing topic is never changed.
pub async fn create_topics(config: &KafkaConfig) -> Result<CreatedTopics, ConnectError> {
    let security = Security::new(config)?;
    let unreachable = |error: String| ConnectError::Unreachable(error);
    let timed_out = || unreachable("no answer in time".to_owned());
    // Connects before rskafka does, because the errors of `Connection` name the wrong setting.
    let connect = Connection::to_any(&config.brokers, &config.client_id, &security);
    let mut connection = timeout(CREATE_TIMEOUT, connect)
        .await
        .map_err(|_| timed_out())??;
    let client = timeout(CREATE_TIMEOUT, Sessions::new(config, &security).client())
        .await
        .map_err(|_| timed_out())??;
    let controller = client
        .controller_client()
        .map_err(|error| unreachable(error.to_string()))?;
    let mut topics = Vec::new();
    let events = config.events_topic.iter();
    for topic in [&config.topic, &config.dead_letter_topic]
        .into_iter()
        .chain(events)
    {
        #[allow(clippy::cast_possible_truncation)] // 10,000 ms
        let wait = CREATE_TIMEOUT.as_millis() as i32;
        let create =
            controller.create_topic(topic, config.partitions, config.replication_factor, wait);
        let created = timeout(CREATE_TIMEOUT * 2, create)
            .await
            .map_err(|_| timed_out())?;
        let is_new = match created {
            Ok(()) => true,
            Err(error) => match server_error(&error) {
                Some(ProtocolError::TopicAlreadyExists) => false,
                // A user without the right to create topics can still use existing ones.
                Some(
                    ProtocolError::TopicAuthorizationFailed
                    | ProtocolError::ClusterAuthorizationFailed,
                ) => {
                    let existing = timeout(CREATE_TIMEOUT, partitions_of(&mut connection, topic));
                    match existing.await.map_err(|_| timed_out())? {
                        Ok(_) => false,
                        Err(_) => return Err(ConnectError::CreateForbidden(topic.clone())),
                    }
                }
                Some(
                    refusal @ (ProtocolError::InvalidReplicationFactor
                    | ProtocolError::InvalidPartitions
                    | ProtocolError::InvalidTopicException
                    | ProtocolError::PolicyViolation),
                ) => {
                    return Err(ConnectError::TopicRefused {
                        topic: topic.clone(),
                        cause: format!("{refusal:?}"),
                    });
                }
                _ => {
                    return Err(unreachable(format!(
                        "topic {topic} cannot be made: {error}"
                    )));
                }
            },
        };
        let partitions = await_partitions(&mut connection, topic).await?;
        topics.push((topic.clone(), partitions, is_new));
    }
    Ok(topics)
}

/// The number of partitions of a topic. Asks repeatedly while the topic is missing: a broker may not know a new topic yet.
async fn await_partitions(
    connection: &mut Connection,
    topic: &String,
) -> Result<i32, ConnectError> {
    let deadline = Instant::now() + VISIBLE_TIMEOUT;
    loop {
        let partitions = timeout(CREATE_TIMEOUT, partitions_of(connection, topic)).await;
        match partitions
            .unwrap_or_else(|_| Err(ConnectError::Unreachable("no answer in time".to_owned())))
        {
            Err(ConnectError::TopicMissing(_) | ConnectError::Unreachable(_))
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(retry_pause(1)).await;
            }
            known_or_final => return known_or_final,
        }
    }
}

async fn partitions_of(connection: &mut Connection, topic: &String) -> Result<i32, ConnectError> {
    metadata_of(connection, &[topic]).await?.partitions(topic)
}
