//! The topic of events: produces to it, on sessions of its own, so that events wait for nothing that purchases need.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI32, Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::future::join_all;
use rskafka::{client::partition::Compression, record::Record};
use tokio::time::timeout;

use super::{
    ConnectError,
    connection::{Connection, Security, metadata_of},
    failure::Failure,
    partitioner,
    session::{Sessions, retry_pause},
};
use crate::{
    config::KafkaConfig,
    port::{EventRecord, EventTopic, LogError},
};

/// Largest size of the records of one request, in bytes: brokers take a megabyte by default.
const REQUEST_BYTES: usize = 512 * 1024;
/// Bytes of a record besides key, value and headers, at most.
const RECORD_OVERHEAD: usize = 64;
/// Tries of one request.
const TRIES: u32 = 3;

/// The topic of events.
pub struct KafkaEvents {
    topic: String,
    brokers: Vec<String>,
    client_id: String,
    security: Security,
    timeout: Duration,
    sessions: Sessions,
    /// As last seen; 0: to be looked up. Partitions that are added count after the next failure or start: keys then move, and
    /// consumers put events in order by their numbers.
    partitions: AtomicI32,
}

impl KafkaEvents {
    /// The topic of the settings; `None` if they name none. Connects when something is published.
    pub fn new(config: &KafkaConfig) -> Result<Option<Self>, ConnectError> {
        let Some(topic) = config.events_topic.clone() else {
            return Ok(None);
        };
        let security = Security::new(config)?;
        Ok(Some(Self {
            topic,
            brokers: config.brokers.clone(),
            client_id: config.client_id.clone(),
            timeout: config.append_timeout,
            sessions: Sessions::new(config, &security),
            security,
            partitions: AtomicI32::new(0),
        }))
    }

    async fn partitions(&self) -> Result<i32, LogError> {
        let known = self.partitions.load(Ordering::Relaxed);
        if known > 0 {
            return Ok(known);
        }
        let ask = async {
            let mut connection =
                Connection::to_any(&self.brokers, &self.client_id, &self.security).await?;
            let found = metadata_of(&mut connection, &[&self.topic]).await?;
            found.partitions(&self.topic)
        };
        let unavailable = |cause: String| LogError::Unavailable(format!("events: {cause}"));
        let found = timeout(self.timeout, ask)
            .await
            .map_err(|_| unavailable("no answer in time".to_owned()))?
            .map_err(|error| unavailable(error.to_string()))?;
        self.partitions.store(found, Ordering::Relaxed);
        Ok(found)
    }

    /// Produces to one partition, request after request, so that the records keep their order.
    async fn produce(&self, partition: i32, records: Vec<Record>) -> Result<(), Failure> {
        for part in parts(records) {
            let mut tries = 1;
            loop {
                let deadline = Instant::now() + self.timeout;
                let again = part.clone();
                let produced = self
                    .sessions
                    .with(&self.topic, partition, deadline, |client| async move {
                        client.produce(again, Compression::NoCompression).await
                    })
                    .await;
                match produced {
                    Ok(_) => break,
                    Err(failure) if tries == TRIES || failure.is_permanent() => {
                        return Err(failure);
                    }
                    Err(_) => tokio::time::sleep(retry_pause(tries)).await,
                }
                tries += 1;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl EventTopic for KafkaEvents {
    fn name(&self) -> &str {
        &self.topic
    }

    async fn publish(&self, records: Vec<EventRecord>) -> Result<(), LogError> {
        let partitions = self.partitions().await?;
        let mut by_partition: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for record in records {
            let partition = partitioner::partition_of_key(&record.key, partitions);
            by_partition
                .entry(partition)
                .or_default()
                .push(message(record));
        }
        let produced = by_partition
            .into_iter()
            .map(|(partition, records)| self.produce(partition, records));
        let failed = join_all(produced).await.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |failure| {
            // Perhaps the topic was made anew with fewer partitions.
            self.partitions.store(0, Ordering::Relaxed);
            Err(LogError::Unavailable(format!("events: {failure}")))
        })
    }
}

fn message(record: EventRecord) -> Record {
    let headers = record.headers.into_iter();
    Record {
        key: Some(record.key.into_bytes()),
        value: Some(record.value),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect(),
        timestamp: record.at,
    }
}

/// Records in requests that brokers take.
fn parts(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for record in records {
        let size = size(&record);
        if bytes + size > REQUEST_BYTES && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(record);
    }
    parts.push(part);
    parts
}

fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    length(&record.key) + length(&record.value) + headers + RECORD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_below_what_brokers_take() {
        let record = |bytes| {
            message(EventRecord {
                key: "1:2".to_owned(),
                value: vec![b'x'; bytes],
                headers: vec![("ce_id", "a".to_owned())],
                at: chrono::DateTime::UNIX_EPOCH,
            })
        };
        let sizes = |records| -> Vec<usize> { parts(records).iter().map(Vec::len).collect() };
        assert_eq!(sizes(vec![record(1000); 3]), [3]);
        assert_eq!(sizes(vec![record(300_000); 3]), [1, 1, 1]);
        assert_eq!(sizes(vec![record(200_000); 3]), [2, 1]);
    }
}
