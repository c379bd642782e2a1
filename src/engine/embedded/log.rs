//! The attempt log in the data file: one partition, one row for each record. `engine::record` encodes and decodes records.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use diesel::{SqliteConnection, dsl, prelude::*};
use tokio::sync::watch;

use super::{
    audit,
    schema::{attempt_log, consumer_partitions, dead_letters},
    store::{ReadError, Store, WriteError},
    values::millis,
};
use crate::{
    clock::Clock,
    engine::{number::to_bigint, record},
    port::{
        AppendError, Attempt, AttemptLog, DeadLetter, DeadLetterPage, LogBatch, LogEnds, LogEntry,
        LogError, LogRecord, Offset, Partition, RawRecord,
    },
};

/// The only partition.
const PARTITION: Partition = Partition(0);
pub(super) const NAME: &str = "attempts";
/// How long a read waits for records before it answers with none.
const READ_WAIT: Duration = Duration::from_millis(500);
/// Maximum number of records of one read. Settling them takes some milliseconds, during which appends wait.
const READ_RECORDS: i64 = 500;
/// Age at which settled records are deleted. The same as Kafka's default.
const RETENTION: Duration = Duration::from_hours(7 * 24);

/// The log in the data file.
pub struct SqliteLog {
    store: Store,
    clock: Arc<dyn Clock>,
    /// The end of the log, as far as this process knows it.
    end: watch::Sender<i64>,
}

impl SqliteLog {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, end: i64) -> Self {
        Self {
            store,
            clock,
            end: watch::Sender::new(end),
        }
    }

    /// Wakes the reads that wait for records before this end.
    fn announce(&self, end: i64) {
        self.end.send_if_modified(|known| {
            let moved = end > *known;
            *known = end.max(*known);
            moved
        });
    }
}

impl From<ReadError> for LogError {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[async_trait]
impl LogEnds for SqliteLog {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        let end = self.store.read(end).await?;
        Ok(BTreeMap::from([(PARTITION, Offset(end))]))
    }
}

#[async_trait]
impl AttemptLog for SqliteLog {
    fn partitions(&self) -> i32 {
        1
    }

    async fn append(&self, attempts: &[Attempt]) -> Vec<Result<(), AppendError>> {
        let records: Vec<_> = attempts.iter().map(record::encode).collect();
        let now = millis(self.clock.now());
        let written = self
            .store
            .write(move |conn| append(conn, &records, now))
            .await;
        let answer = match written {
            Ok(end) => {
                self.announce(end);
                Ok(())
            }
            Err(WriteError::Work(error)) => Err(AppendError::NotWritten(error.to_string())),
            Err(WriteError::NotWritten(cause)) => Err(AppendError::NotWritten(cause)),
            Err(WriteError::Unknown(cause)) => Err(AppendError::Unknown(cause)),
        };
        vec![answer; attempts.len()]
    }

    async fn read(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError> {
        if partition == PARTITION {
            let mut end = self.end.subscribe();
            let appended = end.wait_for(|end| *end > from.0);
            let _ = tokio::time::timeout(READ_WAIT, appended).await;
        }
        let (rows, earliest, end) = self
            .store
            .read(move |conn| {
                let rows = attempt_log::table
                    .filter(attempt_log::log_offset.ge(from.0))
                    .order(attempt_log::log_offset)
                    .limit(READ_RECORDS)
                    .select((attempt_log::log_offset, attempt_log::record))
                    .load::<(i64, Vec<u8>)>(conn)?;
                Ok((rows, earliest(conn)?, end(conn)?))
            })
            .await?;
        let (earliest, end) = (Offset(earliest), Offset(end));
        if from > end || from < earliest || partition != PARTITION {
            return Err(LogError::OutOfRange {
                asked: from,
                earliest,
                end,
            });
        }
        let records: Vec<_> = rows.into_iter().map(log_record).collect();
        let next = records
            .last()
            .map_or(from, |last: &LogRecord| Offset(last.offset.0 + 1));
        Ok(LogBatch { records, next, end })
    }

    async fn earliest(&self, _: Partition) -> Result<Offset, LogError> {
        Ok(Offset(self.store.read(earliest).await?))
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let letters = letters.to_vec();
        let written = self
            .store
            .write(move |conn| dead_letter(conn, &letters))
            .await;
        written.map_err(|error| LogError::Unavailable(format!("dead letters: {error}")))
    }

    fn dead_letter_partitions(&self) -> i32 {
        self.partitions()
    }

    async fn read_dead_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, LogError> {
        Ok(self
            .store
            .read(move |conn| audit::dead_letter_page(conn, partition, from))
            .await?)
    }

    async fn ping(&self) -> Result<(), LogError> {
        self.ends().await.map(drop)
    }
}

fn log_record((offset, value): (i64, Vec<u8>)) -> LogRecord {
    let raw = RawRecord {
        key: None,
        value: Some(value),
    };
    let entry = match record::decode(&raw) {
        Ok(attempt) => LogEntry::Attempt(attempt),
        Err(cause) => LogEntry::Undecodable(cause),
    };
    LogRecord {
        offset: Offset(offset),
        entry,
        // The log and the ledger are in the same file.
        is_of_ledger: true,
        raw,
    }
}

/// The offset of the next record. If the log is empty, because old settled records are deleted, it is the settled offset.
pub(super) fn end(conn: &mut SqliteConnection) -> QueryResult<i64> {
    let last = attempt_log::table
        .select(dsl::max(attempt_log::log_offset))
        .first::<Option<i64>>(conn)?;
    match last {
        Some(last) => Ok(last + 1),
        None => Ok(consumer_partitions::table
            .filter(consumer_partitions::topic.eq(NAME))
            .select(dsl::max(consumer_partitions::next_offset))
            .first::<Option<i64>>(conn)?
            .unwrap_or(0)),
    }
}

fn earliest(conn: &mut SqliteConnection) -> QueryResult<i64> {
    let first = attempt_log::table
        .select(dsl::min(attempt_log::log_offset))
        .first::<Option<i64>>(conn)?;
    first.map_or_else(|| end(conn), Ok)
}

/// Appends records, and deletes old ones. Returns the new end.
fn append(conn: &mut SqliteConnection, records: &[Vec<u8>], now: i64) -> QueryResult<i64> {
    let mut offset = end(conn)?;
    for record in records {
        diesel::insert_into(attempt_log::table)
            .values((
                attempt_log::log_offset.eq(offset),
                attempt_log::record.eq(record),
                attempt_log::appended_at.eq(now),
            ))
            .execute(conn)?;
        offset += 1;
    }
    let retention = to_bigint(RETENTION.as_millis());
    delete_settled(conn, now - retention, 2 * records.len())?;
    Ok(offset)
}

/// The offset of the first record that is not settled. There is one consumer group.
pub(super) fn settled(conn: &mut SqliteConnection) -> QueryResult<i64> {
    let next = consumer_partitions::table
        .filter(consumer_partitions::topic.eq(NAME))
        .select(dsl::min(consumer_partitions::next_offset))
        .first::<Option<i64>>(conn)?;
    Ok(next.unwrap_or(0))
}

/// Deletes up to `most` of the oldest records that are settled and were appended before `before`. Appends pass twice the number
/// of their records, so that the log does not grow for ever.
fn delete_settled(conn: &mut SqliteConnection, before: i64, most: usize) -> QueryResult<()> {
    let oldest = attempt_log::table
        .order(attempt_log::log_offset)
        .select(attempt_log::appended_at)
        .first::<i64>(conn)
        .optional()?;
    if oldest.is_none_or(|oldest| oldest >= before) {
        return Ok(());
    }
    let settled = settled(conn)?;
    let offsets = attempt_log::table
        .filter(attempt_log::log_offset.lt(settled))
        .order(attempt_log::log_offset)
        .limit(to_bigint(most))
        .select((attempt_log::log_offset, attempt_log::appended_at))
        .load::<(i64, i64)>(conn)?;
    let old = offsets
        .iter()
        .take_while(|(_, appended)| *appended < before);
    if let Some((last, _)) = old.last() {
        diesel::delete(attempt_log::table.filter(attempt_log::log_offset.le(last)))
            .execute(conn)?;
    }
    Ok(())
}

fn dead_letter(conn: &mut SqliteConnection, letters: &[DeadLetter]) -> QueryResult<()> {
    for letter in letters {
        // After a crash before the offset was moved, the same dead letter is written again.
        diesel::replace_into(dead_letters::table)
            .values((
                dead_letters::partition.eq(letter.partition.0),
                dead_letters::log_offset.eq(letter.offset.0),
                dead_letters::cause.eq(&letter.cause),
                dead_letters::record_key.eq(&letter.raw.key),
                dead_letters::record.eq(&letter.raw.value),
                dead_letters::buried_at.eq(millis(letter.buried_at)),
            ))
            .execute(conn)?;
    }
    Ok(())
}
