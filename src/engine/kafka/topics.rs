//! Making the topics: for `migrate` and for tests.

use std::time::Duration;

use rskafka::client::error::ProtocolError;
use tokio::time::timeout;

use super::{
    ConnectError,
    connection::{Connection, Security, metadata_of},
    failure::server_error,
    session::{Sessions, retry_pause},
};
use crate::config::KafkaConfig;

/// How long the brokers get to make a topic.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks at a topic that was made, until every broker knows it.
const LOOKS: u32 = 20;

/// What `migrate` did about the topics: each with its partitions, and whether it was made now.
pub type CreatedTopics = Vec<(String, i32, bool)>;

/// Makes the attempts' topic and the dead letters' topic where they are missing; never changes one that is there.
pub async fn create_topics(config: &KafkaConfig) -> Result<CreatedTopics, ConnectError> {
    let security = Security::new(config)?;
    let unreachable = |error: String| ConnectError::Unreachable(error);
    let late = || unreachable("no answer in time".to_owned());
    // First: its errors name what is wrong.
    let connect = Connection::to_any(&config.brokers, &config.client_id, &security);
    let mut connection = timeout(CREATE_TIMEOUT, connect)
        .await
        .map_err(|_| late())??;
    let client = timeout(CREATE_TIMEOUT, Sessions::new(config, &security).client())
        .await
        .map_err(|_| late())??;
    let controller = client
        .controller_client()
        .map_err(|error| unreachable(error.to_string()))?;
    let mut made = Vec::new();
    for topic in [&config.topic, &config.dead_letter_topic] {
        #[allow(clippy::cast_possible_truncation)] // ten seconds
        let wait = CREATE_TIMEOUT.as_millis() as i32;
        let create =
            controller.create_topic(topic, config.partitions, config.replication_factor, wait);
        let created = timeout(CREATE_TIMEOUT * 2, create)
            .await
            .map_err(|_| late())?;
        let new = match created {
            Ok(()) => true,
            Err(error) => match server_error(&error) {
                Some(ProtocolError::TopicAlreadyExists) => false,
                // Whoever may not make topics may use those that are there.
                Some(
                    ProtocolError::TopicAuthorizationFailed
                    | ProtocolError::ClusterAuthorizationFailed,
                ) => {
                    let there = timeout(CREATE_TIMEOUT, partitions_of(&mut connection, topic));
                    match there.await.map_err(|_| late())? {
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
        let partitions = timeout(CREATE_TIMEOUT, settled_partitions(&mut connection, topic));
        made.push((topic.clone(), partitions.await.map_err(|_| late())??, new));
    }
    Ok(made)
}

/// A new topic is not known everywhere at once.
async fn settled_partitions(
    connection: &mut Connection,
    topic: &String,
) -> Result<i32, ConnectError> {
    let mut looks = 0;
    loop {
        looks += 1;
        match partitions_of(connection, topic).await {
            Ok(partitions) => return Ok(partitions),
            Err(ConnectError::TopicMissing(_) | ConnectError::Unreachable(_)) if looks < LOOKS => {
                tokio::time::sleep(retry_pause(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn partitions_of(connection: &mut Connection, topic: &String) -> Result<i32, ConnectError> {
    metadata_of(connection, &[topic]).await?.partitions(topic)
}
