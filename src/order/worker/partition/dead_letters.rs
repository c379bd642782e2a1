//! Records of a partition that are no orders: dead letters, and records of another ledger.

use metrics::counter;

use super::{PartitionReader, StepError, attempt};
use crate::{
    port::{DeadLetter, LogEntry, LogRecord, Rejection},
    telemetry::{LogThrottle, metric},
};

// A new database beside an old topic reads many such records; `flashsale_foreign_records_total` counts them.
static OTHER_LEDGER_THROTTLE: LogThrottle = LogThrottle::new();
// A client that can write to the log could otherwise fill the disk with log lines.
static DEAD_LETTER_THROTTLE: LogThrottle = LogThrottle::new();

impl PartitionReader {
    /// Counts and logs the records that nodes of another ledger wrote, as in an old topic beside a new database, or in a topic
    /// that two shops share. They are not settled.
    pub(super) fn report_other_ledgers(&self, records: &[LogRecord]) {
        let mut others = records.iter().filter_map(|record| match &record.entry {
            LogEntry::OtherLedger(ledger) => Some(ledger),
            LogEntry::Attempt(_) | LogEntry::Undecodable(_) => None,
        });
        let Some(ledger) = others.next() else {
            return;
        };
        let count = 1 + others.count();
        counter!(metric::FOREIGN_RECORDS).increment(count as u64);
        if OTHER_LEDGER_THROTTLE.allow() {
            tracing::warn!(partition = %self.position.partition, records = count, %ledger, "records of another ledger are passed over");
        }
    }

    /// Writes dead letters. The caller moves the offset past their records only if this succeeds.
    pub(super) async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), StepError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.engines.log.dead_letter(letters).await?;
        for letter in letters {
            tracing::debug!(partition = %letter.partition, offset = %letter.offset, cause = letter.cause, "dead letter");
        }
        if let (Some(letter), Some(suppressed)) =
            (letters.first(), DEAD_LETTER_THROTTLE.allow_counting())
        {
            tracing::error!(partition = %letter.partition, offset = %letter.offset, cause = letter.cause, letters = letters.len(), suppressed, "dead letters: `flashsale dead-letters list` shows them");
        }
        counter!(metric::DEAD_LETTERS).increment(letters.len() as u64);
        Ok(())
    }

    pub(super) fn undecodable(&self, record: &LogRecord) -> Option<DeadLetter> {
        match &record.entry {
            LogEntry::Undecodable(cause) => Some(self.letter(record, cause)),
            LogEntry::Attempt(_) | LogEntry::OtherLedger(_) => None,
        }
    }

    pub(super) fn rejected(
        &self,
        record: &LogRecord,
        rejections: &[Rejection],
    ) -> Option<DeadLetter> {
        let attempt = attempt(record)?;
        let rejection = rejections
            .iter()
            .find(|rejection| rejection.attempt == attempt.id)?;
        Some(self.letter(record, &rejection.cause))
    }

    fn letter(&self, record: &LogRecord, cause: &str) -> DeadLetter {
        DeadLetter {
            partition: self.position.partition,
            offset: record.offset,
            cause: cause.to_owned(),
            raw: record.raw.clone(),
            buried_at: self.engines.clock.now(),
        }
    }
}
