//! Reads of the attempts' topic: offsets, batches of records, and gaps in which there are none.

use std::time::{Duration, Instant};

use rskafka::{client::partition::OffsetAt, record::RecordAndOffset};

use super::{KafkaLog, failure::Failure, message::log_record};
use crate::port::{LogBatch, LogError, LogRecord, Offset, Partition};

/// How long the broker waits for records before it answers a read with none.
const READ_WAIT: Duration = Duration::from_millis(500);
/// Largest number of bytes that one read asks for. A record of this service has about 250 bytes.
pub(super) const READ_BYTES: i32 = 1 << 20;
/// Bytes of a read of one record: brokers send whole batches, and at least one.
const ONE_RECORD: i32 = 2;
/// Empty reads of an offset below the end of the log before the offset is treated as a gap.
pub(super) const GAP_READS: u32 = 3;

impl KafkaLog {
    /// Asks for an offset, at most twice. Brokers close idle connections, and a session may be older than a partition: the first
    /// request then fails and discards the session.
    pub(super) async fn offset(
        &self,
        partition: Partition,
        at: OffsetAt,
    ) -> Result<Offset, LogError> {
        match self.offset_in(&self.topic, partition, at).await {
            Err(failure) if !failure.is_permanent() => {
                Ok(self.offset_in(&self.topic, partition, at).await?)
            }
            answer => Ok(answer?),
        }
    }

    pub(super) async fn offset_in(
        &self,
        topic: &str,
        partition: Partition,
        at: OffsetAt,
    ) -> Result<Offset, Failure> {
        let deadline = Instant::now() + self.append_timeout;
        let offset = self
            .offset_requests
            .with(topic, partition.0, deadline, |client| async move {
                client.get_offset(at).await
            })
            .await?;
        Ok(Offset(offset))
    }

    async fn fetch(&self, partition: Partition, from: Offset) -> Result<LogBatch, Failure> {
        let (records, end) = self.fetch_records(partition, from, READ_BYTES).await?;
        let next = records.last().map_or(from, |last| Offset(last.offset + 1));
        let ours = self.ledger.tag();
        let records = records
            .into_iter()
            .map(|found| log_record(found, ours))
            .collect();
        Ok(LogBatch {
            records,
            next,
            end: Offset(end),
        })
    }

    /// Fetches about this many bytes, and at least the whole batch of the first record. Also returns the end of the partition.
    async fn fetch_records(
        &self,
        partition: Partition,
        from: Offset,
        bytes: i32,
    ) -> Result<(Vec<RecordAndOffset>, i64), Failure> {
        let deadline = Instant::now() + READ_WAIT + self.append_timeout;
        #[allow(clippy::cast_possible_truncation)] // 500 ms
        let wait = READ_WAIT.as_millis() as i32;
        self.reads
            .with(&self.topic, partition.0, deadline, |client| async move {
                client.fetch_records(from.0, 1..bytes, wait).await
            })
            .await
    }

    /// Handles an offset below the end at which the broker returned no record: a transaction marker, or a record that
    /// compaction removed. If [`GAP_READS`] further reads return no record either, the batch continues at the next offset.
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

    /// The records from an offset on.
    pub(super) async fn read_batch(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<LogBatch, LogError> {
        let read = match self.fetch(partition, from).await {
            Ok(batch) if batch.records.is_empty() && batch.end > from => {
                self.read_past_gap(partition, from, batch).await
            }
            read => read,
        };
        match read {
            Ok(batch) if batch.end >= from => Ok(batch),
            Ok(batch) => {
                let earliest = self.offset(partition, OffsetAt::Earliest).await?;
                Err(LogError::OutOfRange {
                    asked: from,
                    earliest,
                    end: batch.end,
                })
            }
            Err(Failure::OutOfRange) => {
                let earliest = self.offset(partition, OffsetAt::Earliest).await?;
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

    /// The record at an offset.
    pub(super) async fn read_one(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<LogRecord>, LogError> {
        match self.fetch_records(partition, offset, ONE_RECORD).await {
            Ok((records, _)) => {
                let first = records.into_iter().next();
                let found = first.filter(|found| found.offset == offset.0);
                Ok(found.map(|found| log_record(found, self.ledger.tag())))
            }
            Err(Failure::OutOfRange) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}
