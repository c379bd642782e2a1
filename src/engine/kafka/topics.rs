//! Making the topics: for `migrate` and for tests.

use std::time::Duration;

use rskafka::client::error::ProtocolError;
use tokio::time::timeout;

use super::{
    ConnectError,
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
    let sessions = Sessions::new(config)?;
    let unreachable = |error: String| ConnectError::Unreachable(error);
    let client = timeout(CREATE_TIMEOUT, sessions.client())
        .await
        .map_err(|_| unreachable("no answer in time".to_owned()))??;
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
            .map_err(|_| unreachable("no answer in time".to_owned()))?;
        let new = match created {
            Ok(()) => true,
            Err(error) => match server_error(&error) {
                Some(ProtocolError::TopicAlreadyExists) => false,
                Some(
                    refusal @ (ProtocolError::InvalidReplicationFactor
                    | ProtocolError::InvalidPartitions
                    | ProtocolError::InvalidTopicException
                    | ProtocolError::TopicAuthorizationFailed
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
        made.push((
            topic.clone(),
            settled_partitions(&sessions, topic).await?,
            new,
        ));
    }
    Ok(made)
}

/// A new topic is not known everywhere at once.
async fn settled_partitions(sessions: &Sessions, topic: &str) -> Result<i32, ConnectError> {
    let mut looks = 0;
    loop {
        looks += 1;
        match sessions.partitions_of(&[topic]).await {
            Ok(partitions) => return Ok(partitions.into_iter().sum()),
            Err(ConnectError::TopicMissing(_)) if looks < LOOKS => {
                tokio::time::sleep(retry_pause(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
