//! The attempt log as a model: partitions of records that can be cut, and made anew.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use flashsale::{
    engine::record,
    ids::UserId,
    port::{
        AppendError, Attempt, AttemptLog, DeadLetter, DeadLetterEntry, DeadLetterId,
        DeadLetterPage, LogBatch, LogEnds, LogEntry, LogError, LogRecord, Offset, Partition,
        RawRecord,
    },
};
use tokio::sync::Notify;

/// How long a read waits for records.
const READ_WAIT: Duration = Duration::from_millis(500);
/// Records of one read at most: few, so that a reader works in several batches.
const READ_RECORDS: usize = 500;

/// Partitions that a log can have.
const MOST_PARTITIONS: usize = 16;

/// The log.
pub struct ModelLog {
    partitions: [Mutex<Records>; MOST_PARTITIONS],
    /// How many of them there are.
    count: AtomicUsize,
    dead_letters: Mutex<BTreeMap<(Partition, Offset), DeadLetter>>,
    /// Wakes whoever waits for records, in the order of waiting.
    appended: Notify,
}

#[derive(Default)]
struct Records {
    /// The offset of the first one.
    first: i64,
    records: VecDeque<LogRecord>,
}

impl Records {
    fn end(&self) -> Offset {
        Offset(self.first + i64::try_from(self.records.len()).unwrap_or(i64::MAX))
    }

    fn push(&mut self, raw: RawRecord, is_of_ledger: bool) {
        let entry = entry_of(&raw);
        let offset = self.end();
        self.records.push_back(LogRecord {
            offset,
            entry,
            is_of_ledger,
            raw,
        });
    }
}

fn entry_of(raw: &RawRecord) -> LogEntry {
    match record::decode(raw) {
        Ok(attempt) => LogEntry::Attempt(attempt),
        Err(cause) => LogEntry::Undecodable(cause),
    }
}

impl ModelLog {
    /// With this many partitions, 16 at most.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let count = usize::try_from(partitions).unwrap_or(0);
        Self {
            partitions: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(count.min(MOST_PARTITIONS)),
            dead_letters: Mutex::default(),
            appended: Notify::new(),
        }
    }

    /// Adds a partition, unless there are 16. Shoppers' attempts go into other partitions from now on.
    pub fn add_partition(&self) {
        let count = self.count.load(Ordering::Relaxed);
        self.count
            .store((count + 1).min(MOST_PARTITIONS), Ordering::Relaxed);
    }

    /// Writes a record by another hand.
    pub fn write_by_hand(&self, partition: Partition, raw: RawRecord) {
        if let Some(mut records) = self.records(partition) {
            records.push(raw, false);
        }
        self.announce();
    }

    /// Removes the records before an offset, as retention does. Those that were there.
    pub fn cut(&self, partition: Partition, before: Offset) -> Vec<LogRecord> {
        let Some(mut records) = self.records(partition) else {
            return Vec::new();
        };
        let mut gone = Vec::new();
        while let Some(record) = records
            .records
            .pop_front_if(|record| record.offset < before)
        {
            records.first = record.offset.0 + 1;
            gone.push(record);
        }
        gone
    }

    /// Deletes the log and makes it anew, empty and from offset 0. What was in it, by partition.
    pub fn make_anew(&self) -> Vec<(Partition, Vec<LogRecord>)> {
        let mut gone = Vec::new();
        for partition in (0..self.partitions()).map(Partition) {
            if let Some(mut records) = self.records(partition) {
                let before = std::mem::take(&mut *records);
                gone.push((partition, before.records.into()));
            }
        }
        self.announce();
        gone
    }

    /// Everything that is in a partition.
    #[must_use]
    pub fn all(&self, partition: Partition) -> Vec<LogRecord> {
        self.records(partition)
            .map(|records| records.records.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Where every partition ends.
    #[must_use]
    pub fn ends_now(&self) -> BTreeMap<Partition, Offset> {
        (0..self.partitions())
            .map(Partition)
            .filter_map(|partition| Some((partition, self.records(partition)?.end())))
            .collect()
    }

    /// Everything that was buried.
    #[must_use]
    pub fn all_dead_letters(&self) -> Vec<DeadLetter> {
        self.buried().values().cloned().collect()
    }

    /// The partition of a shopper.
    #[must_use]
    pub fn partition_of(&self, user: UserId) -> Partition {
        let count = i64::from(self.partitions().max(1));
        Partition(i32::try_from(user.value() % count).unwrap_or(0))
    }

    fn records(&self, partition: Partition) -> Option<MutexGuard<'_, Records>> {
        let index = usize::try_from(partition.0).ok()?;
        let there = self.partitions.get(..self.count.load(Ordering::Relaxed))?;
        let records = there.get(index)?;
        Some(records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn buried(&self) -> MutexGuard<'_, BTreeMap<(Partition, Offset), DeadLetter>> {
        self.dead_letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.appended.notify_waiters();
    }

    fn read_now(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError> {
        let Some(records) = self.records(partition) else {
            return Err(LogError::Unavailable(format!("no partition {partition}")));
        };
        let (earliest, end) = (Offset(records.first), records.end());
        if from < earliest || from > end {
            return Err(LogError::OutOfRange {
                asked: from,
                earliest,
                end,
            });
        }
        let skipped = usize::try_from(from.0 - earliest.0).unwrap_or(usize::MAX);
        let found: Vec<_> = records
            .records
            .iter()
            .skip(skipped)
            .take(READ_RECORDS)
            .cloned()
            .collect();
        let next = found.last().map_or(from, |last| Offset(last.offset.0 + 1));
        Ok(LogBatch {
            records: found,
            next,
            end,
        })
    }
}

#[async_trait]
impl LogEnds for ModelLog {
    fn name(&self) -> &'static str {
        "attempts"
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        Ok(self.ends_now())
    }
}

#[async_trait]
impl AttemptLog for ModelLog {
    fn partitions(&self) -> i32 {
        i32::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(i32::MAX)
    }

    async fn append(&self, attempts: &[Attempt]) -> Vec<Result<(), AppendError>> {
        for attempt in attempts {
            if let Some(mut records) = self.records(self.partition_of(attempt.user)) {
                let raw = RawRecord {
                    key: Some(attempt.user.to_string().into_bytes()),
                    value: Some(record::encode(attempt)),
                };
                records.push(raw, true);
            }
        }
        self.announce();
        vec![Ok(()); attempts.len()]
    }

    async fn read(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError> {
        let more = async {
            loop {
                // Before the look: an append between the two is not missed.
                let appended = self.appended.notified();
                let batch = self.read_now(partition, from)?;
                if !batch.records.is_empty() {
                    return Ok(batch);
                }
                appended.await;
            }
        };
        match tokio::time::timeout(READ_WAIT, more).await {
            Ok(read) => read,
            Err(_) => self.read_now(partition, from),
        }
    }

    async fn earliest(&self, partition: Partition) -> Result<Offset, LogError> {
        let records = self.records(partition);
        Ok(Offset(records.map_or(0, |records| records.first)))
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let mut buried = self.buried();
        for letter in letters {
            buried.insert((letter.partition, letter.offset), letter.clone());
        }
        Ok(())
    }

    fn dead_letter_partitions(&self) -> i32 {
        self.partitions()
    }

    /// A letter lies where its record lay.
    async fn read_dead_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, LogError> {
        let buried = self.buried();
        let here: Vec<_> = buried
            .values()
            .filter(|letter| letter.partition == partition)
            .collect();
        let end = Offset(here.last().map_or(0, |last| last.offset.0 + 1));
        let entries: Vec<_> = here
            .into_iter()
            .filter(|letter| letter.offset >= from)
            .take(READ_RECORDS)
            .map(|letter| DeadLetterEntry {
                id: DeadLetterId {
                    partition,
                    offset: letter.offset,
                },
                letter: letter.clone(),
                entry: entry_of(&letter.raw),
                omitted_bytes: None,
            })
            .collect();
        let next = entries
            .last()
            .map_or(end, |last| Offset(last.id.offset.0 + 1));
        Ok(DeadLetterPage { entries, next, end })
    }

    async fn ping(&self) -> Result<(), LogError> {
        Ok(())
    }
}
