//! The attempt log on Kafka, through rskafka.
//!
//! rskafka waits and retries without end on its own. Here every request is one try on a session with a deadline, and
//! a session is discarded when it does not answer or when `error_table` says so, since a connection to a host that went
//! away silently would otherwise be kept for as long as TCP hopes.

mod connect_error;
mod connection;
mod dead_letters;
mod error_table;
mod failure;
pub mod inspect;
mod message;
mod partitioner;
mod partitions;
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
pub use topics::{CreatedTopics, create_topics};

use crate::{
    config::KafkaConfig,
    ids::{LedgerId, LedgerTag},
    port::{
        AppendError, Attempt, AttemptLog, DeadLetter, DeadLetterPage, LogBatch, LogError,
        LogRecord, Offset, Partition,
    },
};
use error_table::Append;
use failure::Failure;
use partitions::{Partitions, Watch};
use security::Security;
use session::{Sessions, retry_pause};

/// How long a read waits for records before it answers with none.
const READ_WAIT: Duration = Duration::from_millis(500);
/// How much one read asks for. A record of this service has some 250 bytes.
const READ_BYTES: i32 = 1 << 20;
/// Tries of one append within its timeout, while it surely is not written. One that is in doubt is tried until the timeout: a
/// leader that moves leaves only those in doubt that were under way, and once one try succeeds, nothing is in doubt.
const APPEND_TRIES: u32 = 4;
/// Reads of an offset below the end that gave nothing, until it counts as a gap in the log.
const GAP_READS: u32 = 3;

/// Dead letters of one produce, unless they are too large together.
const DEAD_LETTERS_AT_ONCE: usize = 1_000;

/// Records that are not known to be written.
struct NotProduced {
    cause: AppendError,
    /// The broker takes no records of this size.
    too_large: bool,
}

/// The attempts' topic and the dead letters' topic.
///
/// Appends, reads and questions have sessions of their own: the broker answers the requests of one connection in order,
/// so that an append would wait behind a read that waits for records.
pub struct KafkaLog {
    topic: String,
    dead_letter_topic: String,
    /// Whose attempts are appended.
    ledger: LedgerId,
    partitions: Arc<Partitions>,
    _watch: Watch,
    append_timeout: Duration,
    appends: Sessions,
    reads: Sessions,
    questions: Sessions,
}

impl KafkaLog {
    /// Connects once, within the append timeout, and looks the topics up.
    pub async fn connect(config: &KafkaConfig) -> Result<Self, ConnectError> {
        let security = Security::new(config)?;
        let partitions = Arc::new(Partitions::look_up(config, &security).await?);
        Ok(Self {
            topic: config.topic.clone(),
            dead_letter_topic: config.dead_letter_topic.clone(),
            ledger: LedgerId::NONE,
            _watch: partitions.watch(),
            partitions,
            append_timeout: config.append_timeout,
            appends: Sessions::new(config, &security),
            reads: Sessions::new(config, &security),
            questions: Sessions::new(config, &security),
        })
    }

    /// The same log for the attempts of this ledger. Every process that appends or settles calls it with [`Ledger::id`].
    ///
    /// [`Ledger::id`]: crate::port::Ledger::id
    #[must_use]
    pub fn of_ledger(self, ledger: LedgerId) -> Self {
        Self { ledger, ..self }
    }

    /// Appends records to one partition. They are made for each try, which mostly is the only one.
    ///
    /// What is in doubt after one try may be written twice by the next one, and counts once. An answer that is certain says
    /// nothing about earlier tries, so that the whole stays in doubt unless a try succeeds.
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
            in_doubt |= failure.append() == Append::InDoubt;
            if failure.is_unknown_partition() {
                self.partitions.look_soon();
            }
            let no_time = Instant::now() + retry_pause(tries) >= deadline;
            if no_time || failure.is_permanent() || (!in_doubt && tries >= APPEND_TRIES) {
                let cause = failure.of_append();
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

    /// Writes dead letters with one produce; in halves if they are too much for the broker, and a single one that is too much
    /// without its value, rather than never.
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
                    // What comes first is buried first.
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

    /// Twice: brokers close connections that were idle for long, and a session may be older than a partition. The first question
    /// finds that out.
    async fn offset(&self, partition: Partition, at: OffsetAt) -> Result<Offset, LogError> {
        match self.offset_in(&self.topic, partition, at).await {
            Err(failure) if !failure.is_permanent() => {
                Ok(self.offset_in(&self.topic, partition, at).await?)
            }
            answer => Ok(answer?),
        }
    }

    async fn offset_in(
        &self,
        topic: &str,
        partition: Partition,
        at: OffsetAt,
    ) -> Result<Offset, Failure> {
        let deadline = Instant::now() + self.append_timeout;
        let offset = self
            .questions
            .with(topic, partition.0, deadline, |client| async move {
                client.get_offset(at).await
            })
            .await?;
        Ok(Offset(offset))
    }

    async fn fetch(&self, partition: Partition, from: Offset) -> Result<LogBatch, Failure> {
        let deadline = Instant::now() + READ_WAIT + self.append_timeout;
        #[allow(clippy::cast_possible_truncation)] // half a second
        let wait = READ_WAIT.as_millis() as i32;
        let (records, end) = self
            .reads
            .with(&self.topic, partition.0, deadline, |client| async move {
                client.fetch_records(from.0, 1..READ_BYTES, wait).await
            })
            .await?;
        let next = records.last().map_or(from, |last| Offset(last.offset + 1));
        let ours = self.ledger.tag();
        let records = records
            .into_iter()
            .map(|read| log_record(read, ours))
            .collect();
        Ok(LogBatch {
            records,
            next,
            end: Offset(end),
        })
    }

    /// Reads on behind an offset that is below the end but gives no record: a marker of a transaction, or a record that
    /// compaction removed. Only what the broker shows to be missing is passed over.
    async fn read_past_gap(
        &self,
        partition: Partition,
        from: Offset,
        empty: LogBatch,
    ) -> Result<LogBatch, Failure> {
        let mut batch = empty;
        for _ in 0..GAP_READS {
            batch = self.fetch(partition, from).await?;
            if !batch.records.is_empty() || batch.end <= from {
                return Ok(batch);
            }
        }
        tracing::warn!(%partition, offset = %from, "the log has no record at this offset; reading on behind it");
        batch.next = Offset(from.0 + 1);
        Ok(batch)
    }
}

#[async_trait]
impl AttemptLog for KafkaLog {
    fn name(&self) -> &str {
        &self.topic
    }

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
        let read = match self.fetch(partition, from).await {
            Ok(batch) if batch.records.is_empty() && batch.end > from => {
                self.read_past_gap(partition, from, batch).await
            }
            read => read,
        };
        match read {
            Ok(batch) if batch.end >= from => Ok(batch),
            Ok(batch) => {
                let earliest = self.earliest(partition).await?;
                Err(LogError::OutOfRange {
                    asked: from,
                    earliest,
                    end: batch.end,
                })
            }
            Err(Failure::OutOfRange) => {
                let earliest = self.earliest(partition).await?;
                let end = self.offset(partition, OffsetAt::Latest).await?;
                Err(LogError::OutOfRange {
                    asked: from,
                    earliest,
                    end,
                })
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn earliest(&self, partition: Partition) -> Result<Offset, LogError> {
        self.offset(partition, OffsetAt::Earliest).await
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        let look = self.partitions.look().await;
        look.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let partitions = (0..self.partitions.attempts()).map(Partition);
        let ends = try_join_all(
            partitions
                .clone()
                .map(|partition| self.offset(partition, OffsetAt::Latest)),
        )
        .await?;
        Ok(partitions.zip(ends).collect())
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let partitions = self.partitions.dead_letters().max(1);
        let mut by_partition: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for letter in letters {
            let partition = letter.partition.0 % partitions;
            by_partition.entry(partition).or_default().push(letter);
        }
        for (partition, letters) in by_partition {
            for part in letters.chunks(DEAD_LETTERS_AT_ONCE) {
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

fn log_record(read: rskafka::record::RecordAndOffset, ours: Option<LedgerTag>) -> LogRecord {
    let (entry, is_of_ledger, raw) = message::read(read.record, ours);
    LogRecord {
        offset: Offset(read.offset),
        entry,
        is_of_ledger,
        raw,
    }
}
