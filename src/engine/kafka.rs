//! The attempt log on Kafka, through rskafka.
//!
//! rskafka by itself waits and retries without a limit. This module therefore sends every request once, on a session and
//! with a deadline. A session is discarded when it does not answer in time or when `error_table` says so: TCP alone may need
//! many minutes to notice that a host has disappeared.

mod connect_error;
mod connection;
mod dead_letters;
mod error_table;
mod events;
mod failure;
pub mod inspect;
mod message;
mod partitioner;
mod partitions;
mod reading;
mod security;
mod session;
mod topics;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use rskafka::client::partition::{Compression, OffsetAt};

pub use connect_error::ConnectError;
pub use events::KafkaEvents;
pub use topics::{CreatedTopics, create_topics};

use crate::{
    config::KafkaConfig,
    ids::LedgerId,
    port::{
        AppendError, Attempt, AttemptLog, DeadLetter, DeadLetterPage, LogBatch, LogEnds, LogError,
        LogRecord, Offset, Partition,
    },
};
use error_table::Append;
use partitions::{Partitions, RefreshTask};
use security::Security;
use session::{Sessions, retry_pause};

/// Maximum number of tries of one append while none of them can have written the records. Once the outcome of a try is in
/// doubt, further tries follow until the append timeout or a permanent error, because one success removes the doubt.
const APPEND_TRIES: u32 = 4;
/// Maximum number of dead letters in one produce request; fewer if the broker refuses so many as too large.
const DEAD_LETTERS_PER_REQUEST: usize = 1_000;

/// A failed produce: its records are not written, or possibly written.
struct NotProduced {
    cause: AppendError,
    /// The broker refused the last try because the records are too large.
    too_large: bool,
}

/// The attempts' topic and the dead letters' topic.
///
/// Appends, reads and offset requests each have their own session: a broker answers the requests of one connection in order,
/// so an append would otherwise wait behind a read that waits for records.
pub struct KafkaLog {
    topic: String,
    dead_letter_topic: String,
    /// The ledger that new records name. A record that names another one is read as [`LogEntry::OtherLedger`].
    ///
    /// [`LogEntry::OtherLedger`]: crate::port::LogEntry::OtherLedger
    ledger: LedgerId,
    partitions: Arc<Partitions>,
    _refresh: RefreshTask,
    append_timeout: Duration,
    appends: Sessions,
    reads: Sessions,
    offset_requests: Sessions,
}

impl KafkaLog {
    /// Connects once, within the append timeout, and reads the partition counts of both topics.
    pub async fn connect(config: &KafkaConfig) -> Result<Self, ConnectError> {
        let security = Security::new(config)?;
        let partitions = Arc::new(Partitions::connect(config, &security).await?);
        Ok(Self {
            topic: config.topic.clone(),
            dead_letter_topic: config.dead_letter_topic.clone(),
            ledger: LedgerId::NONE,
            _refresh: partitions.start_refresh(),
            partitions,
            append_timeout: config.append_timeout,
            appends: Sessions::new(config, &security),
            reads: Sessions::new(config, &security),
            offset_requests: Sessions::new(config, &security),
        })
    }

    /// The same log, for the attempts of the given ledger. Every process that appends or settles calls it with [`Ledger::id`].
    ///
    /// [`Ledger::id`]: crate::port::Ledger::id
    #[must_use]
    pub fn of_ledger(self, ledger: LedgerId) -> Self {
        Self { ledger, ..self }
    }

    /// Appends records to one partition. `records` is called once for each try; usually there is only one.
    ///
    /// A try after one that is in doubt may write the records a second time; a repeated attempt is settled once. A certain
    /// refusal says nothing about earlier tries, so after a try in doubt the result is in doubt unless a later try succeeds.
    async fn produce(
        &self,
        topic: &str,
        partition: i32,
        records: impl Fn() -> Vec<rskafka::record::Record>,
    ) -> Result<(), NotProduced> {
        let deadline = Instant::now() + self.append_timeout;
        let mut in_doubt = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let produce = self.appends.with(topic, partition, deadline, |client| {
                let records = records();
                async move { client.produce(records, Compression::NoCompression).await }
            });
            let Err(failure) = produce.await else {
                return Ok(());
            };
            in_doubt |= failure.append_state() == Append::InDoubt;
            if failure.suggests_missing_partition() {
                self.partitions.refresh_soon();
            }
            let no_time = Instant::now() + retry_pause(tries) >= deadline;
            if no_time || failure.is_permanent() || (!in_doubt && tries >= APPEND_TRIES) {
                let cause = failure.append_cause();
                return Err(NotProduced {
                    cause: if in_doubt {
                        AppendError::Unknown(cause)
                    } else {
                        AppendError::NotWritten(cause)
                    },
                    too_large: failure.is_too_large(),
                });
            }
            tokio::time::sleep(retry_pause(tries)).await;
        }
    }

    /// Writes dead letters with one produce request. A request that the broker refuses as too large is split in half; a single
    /// letter that is too large is written without its key and value, so that at least its cause and position are kept.
    async fn produce_dead_letters(
        &self,
        partition: i32,
        letters: &[&DeadLetter],
    ) -> Result<(), LogError> {
        let mut parts = vec![letters];
        while let Some(part) = parts.pop() {
            let records = |keep_value| {
                move || -> Vec<_> {
                    let message = |letter: &&DeadLetter| {
                        message::of_dead_letter(&self.topic, self.ledger.tag(), letter, keep_value)
                    };
                    part.iter().map(message).collect()
                }
            };
            let topic = &self.dead_letter_topic;
            let mut produced = self.produce(topic, partition, records(true)).await;
            if produced.as_ref().is_err_and(|error| error.too_large) {
                if part.len() > 1 {
                    let (first, second) = part.split_at(part.len() / 2);
                    // The first half is popped first, so that letters are written in their order.
                    parts.extend([second, first]);
                    continue;
                }
                produced = self.produce(topic, partition, records(false)).await;
            }
            produced
                .map_err(|error| LogError::Unavailable(format!("dead letters: {}", error.cause)))?;
        }
        Ok(())
    }
}

#[async_trait]
impl LogEnds for KafkaLog {
    fn name(&self) -> &str {
        &self.topic
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        let refreshed = self.partitions.refresh().await;
        refreshed.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let partitions = (0..self.partitions.attempts()).map(Partition);
        let ends = try_join_all(
            partitions
                .clone()
                .map(|partition| self.offset(partition, OffsetAt::Latest)),
        )
        .await?;
        Ok(partitions.zip(ends).collect())
    }
}

#[async_trait]
impl AttemptLog for KafkaLog {
    fn partitions(&self) -> i32 {
        self.partitions.attempts()
    }

    async fn append(&self, attempts: &[Attempt]) -> Vec<Result<(), AppendError>> {
        let partitions = self.partitions.for_appends();
        let mut by_partition: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (index, attempt) in attempts.iter().enumerate() {
            by_partition
                .entry(partitioner::partition_of(attempt.user, partitions))
                .or_default()
                .push(index);
        }
        let appends = by_partition
            .into_iter()
            .map(|(partition, indexes)| async move {
                let records = || {
                    let attempts = indexes.iter().filter_map(|index| attempts.get(*index));
                    attempts
                        .map(|attempt| message::of_attempt(attempt, self.ledger.tag()))
                        .collect()
                };
                let produced = self.produce(&self.topic, partition, records).await;
                (indexes, produced.map_err(|error| error.cause))
            });
        let mut answers = vec![Ok(()); attempts.len()];
        for (indexes, answer) in join_all(appends).await {
            for index in indexes {
                if let Some(slot) = answers.get_mut(index) {
                    slot.clone_from(&answer);
                }
            }
        }
        answers
    }

    async fn read(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError> {
        self.read_batch(partition, from).await
    }

    async fn record_at(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<LogRecord>, LogError> {
        self.read_one(partition, offset).await
    }

    async fn earliest(&self, partition: Partition) -> Result<Offset, LogError> {
        self.offset(partition, OffsetAt::Earliest).await
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let partitions = self.partitions.dead_letters().max(1);
        let mut by_partition: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for letter in letters {
            let partition = letter.partition.0 % partitions;
            by_partition.entry(partition).or_default().push(letter);
        }
        for (partition, letters) in by_partition {
            for part in letters.chunks(DEAD_LETTERS_PER_REQUEST) {
                self.produce_dead_letters(partition, part).await?;
            }
        }
        Ok(())
    }

    fn dead_letter_partitions(&self) -> i32 {
        self.partitions.dead_letters()
    }

    async fn read_dead_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, LogError> {
        self.dead_letter_page(partition, from)
            .await
            .map_err(|failure| LogError::Unavailable(format!("dead letters: {failure}")))
    }

    async fn ping(&self) -> Result<(), LogError> {
        self.offset(Partition(0), OffsetAt::Latest).await.map(drop)
    }
}
