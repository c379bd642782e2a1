//! Reads how the topics are set up, for `doctor`: replicas and settings, for which rskafka has no request. Uses one
//! connection, which only reads.

use std::{collections::BTreeMap, time::Duration};

use kafka_protocol::messages::{
    DescribeConfigsRequest, describe_configs_request::DescribeConfigsResource,
};

use super::{
    ConnectError,
    connection::{Connection, Security, metadata_of, text},
};
use crate::config::KafkaConfig;

/// A version that brokers from 2.1 to 4.x understand.
const DESCRIBE_CONFIGS_VERSION: i16 = 1;

/// `ConfigResource.Type.TOPIC`
const TOPIC: i8 = 2;

/// The number of brokers, and the setup of both topics.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub brokers: usize,
    /// The attempts' topic, then the dead letters' topic.
    pub topics: Vec<Topic>,
}

/// The replication and the settings of one topic.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub partitions: usize,
    /// Number of replicas of the partition that has the fewest.
    pub replicas: usize,
    /// Number of partitions with fewer in-sync replicas than replicas.
    pub under_replicated: usize,
    /// Number of partitions without a leader.
    pub leaderless: usize,
    /// Values by Kafka's setting names, such as `retention.ms`.
    pub settings: BTreeMap<String, String>,
    /// True if the broker did not return the settings, usually because the user may not read them.
    pub settings_hidden: bool,
}

/// Inspects both topics through the first broker that accepts the client, within twice the append timeout.
pub async fn inspect(config: &KafkaConfig) -> Result<Inspection, ConnectError> {
    let security = Security::new(config)?;
    let ask = ask(config, &security);
    tokio::time::timeout(config.append_timeout * 2, ask)
        .await
        .map_err(|_| ConnectError::Unreachable("no answer in time".to_owned()))?
}

async fn ask(config: &KafkaConfig, security: &Security) -> Result<Inspection, ConnectError> {
    let mut connection = Connection::to_any(&config.brokers, &config.client_id, security).await?;
    let names = [&config.topic, &config.dead_letter_topic];
    let found = metadata_of(&mut connection, &names).await?;
    let resources = names.map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.to_vec());
    let described = connection.call(request, DESCRIBE_CONFIGS_VERSION).await?;

    let mut topics = Vec::new();
    for name in names {
        let topic = found.topic(name)?;
        let settings = described
            .results
            .iter()
            .find(|result| result.resource_name.as_str() == name);
        let settings_hidden = settings.is_none_or(|result| result.error_code != 0);
        let settings = settings.into_iter().flat_map(|result| &result.configs);
        topics.push(Topic {
            name: name.clone(),
            partitions: topic.partitions.len(),
            replicas: topic
                .partitions
                .iter()
                .map(|it| it.replica_nodes.len())
                .min()
                .unwrap_or(0),
            under_replicated: topic
                .partitions
                .iter()
                .filter(|it| it.isr_nodes.len() < it.replica_nodes.len())
                .count(),
            leaderless: topic
                .partitions
                .iter()
                .filter(|it| it.leader_id.0 < 0)
                .count(),
            settings_hidden,
            settings: settings
                .filter_map(|setting| {
                    Some((
                        setting.name.to_string(),
                        setting.value.as_ref()?.to_string(),
                    ))
                })
                .collect(),
        });
    }
    Ok(Inspection {
        brokers: found.brokers(),
        topics,
    })
}

impl Topic {
    /// The value of a numeric setting; `None` if it is unknown or no number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.get(name)?.parse().ok()
    }

    /// How long records are kept; `None` if there is no limit or the setting is unknown.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        let millis = self.number("retention.ms")?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}
