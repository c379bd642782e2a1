//! The attempt log: durable, ordered by partition; the proof that an attempt was accepted.

use async_trait::async_trait;
use std::collections::BTreeMap;

use super::{Attempt, DeadLetter, DeadLetterPage, LogRecord, Offset, Partition};

/// Why an append did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The log does not have the attempt and never will have it by this call.
    #[error("not written: {0}")]
    NotWritten(String),
    /// It may or may not be there.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// Why the log could not be read or written, attempts aside.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The offset asked for is not in the log: it was cut, or made anew. These are the offsets that are there.
    #[error("offset {asked} is outside the log, which has {earliest} to {end}")]
    OutOfRange {
        asked: Offset,
        earliest: Offset,
        end: Offset,
    },
    #[error("the attempt log: {0}")]
    Unavailable(String),
}

/// Records read in order from one partition.
#[derive(Debug, Clone)]
pub struct LogBatch {
    pub records: Vec<LogRecord>,
    /// Where to read on.
    pub next: Offset,
    /// The end of the partition when it was read.
    pub end: Offset,
}

/// How far a log goes. Every call answers within a bounded time.
#[async_trait]
pub trait LogEnds: Send + Sync {
    /// The name of the log (Kafka: the topic).
    fn name(&self) -> &str;

    /// The end of every partition that exists now, not only of those that were known before: everything appended before this
    /// call is below it.
    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError>;
}

/// The durable log. Every call answers within a bounded time.
#[async_trait]
pub trait AttemptLog: LogEnds {
    /// How many partitions there are, as last seen; no I/O. It may change at any time: partitions are added, and a log that is made
    /// anew may have fewer. An implementation notices within seconds.
    fn partitions(&self) -> i32;

    /// Appends attempts durably; one answer for each, in their order. Attempts of one shopper keep their
    /// order, unless partitions are added in between.
    async fn append(&self, attempts: &[Attempt]) -> Vec<Result<(), AppendError>>;

    /// Reads on from an offset; waits a short while for records when there are none yet, then answers with none.
    async fn read(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError>;

    /// The record at an offset; `None` if it is not there any more, or not yet.
    async fn record_at(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<LogRecord>, LogError> {
        match self.read(partition, offset).await {
            Ok(batch) => {
                let first = batch.records.into_iter().next();
                Ok(first.filter(|record| record.offset == offset))
            }
            Err(LogError::OutOfRange { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first offset that is still there.
    async fn earliest(&self, partition: Partition) -> Result<Offset, LogError>;

    /// Writes dead letters durably.
    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), LogError>;

    /// How many partitions the dead letters lie in, as last seen.
    fn dead_letter_partitions(&self) -> i32;

    /// A page of the dead letters in one of their partitions, from an offset on or from the first that is still there.
    async fn read_dead_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, LogError>;

    /// Answers when the log does.
    async fn ping(&self) -> Result<(), LogError>;
}
