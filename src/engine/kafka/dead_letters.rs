//! Reads dead letters back from their topic. Their format is defined in `message`.

use std::time::Instant;

use rskafka::{client::partition::OffsetAt, record::RecordAndOffset};

use super::{
    KafkaLog,
    failure::Failure,
    message,
    reading::{GAP_READS, READ_BYTES},
    session::retry_pause,
};
use crate::port::{DeadLetterEntry, DeadLetterId, DeadLetterPage, Offset, Partition};

/// How long the broker may wait for a record before it answers with none, in milliseconds.
const WAIT_MS: i32 = 100;
/// Maximum number of tries of one page: a partition's leader may just have moved, and a read can be repeated safely.
const TRIES: u32 = 3;

impl KafkaLog {
    /// A page of dead letters, from `from` or the oldest stored one, whichever is later.
    pub(super) async fn dead_letter_page(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, Failure> {
        let mut tries = 1;
        loop {
            match self.read_letters(partition, from).await {
                Err(_) if tries < TRIES => tokio::time::sleep(retry_pause(tries)).await,
                answer => return answer,
            }
            tries += 1;
        }
    }

    async fn read_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, Failure> {
        let topic = &self.dead_letter_topic;
        let earliest = self.offset_in(topic, partition, OffsetAt::Earliest).await?;
        let end = self.offset_in(topic, partition, OffsetAt::Latest).await?;
        let mut page = DeadLetterPage {
            entries: Vec::new(),
            next: from.max(earliest),
            end,
        };
        let mut reads = 0;
        while page.entries.is_empty() && page.next < end {
            let from = page.next;
            let records = self.fetch_letters(partition, from).await?;
            reads += 1;
            if let Some(last) = records.last() {
                page.next = Offset(last.offset + 1);
            } else if reads == GAP_READS {
                // The offset is a transaction marker, or compaction removed its record.
                reads = 0;
                page.next = Offset(from.0 + 1);
            }
            page.entries = records
                .into_iter()
                .filter_map(|found| self.decode_letter(partition, found))
                .collect();
        }
        Ok(page)
    }

    async fn fetch_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<Vec<RecordAndOffset>, Failure> {
        let deadline = Instant::now() + self.append_timeout;
        let (records, _) = self
            .reads
            .with(
                &self.dead_letter_topic,
                partition.0,
                deadline,
                |client| async move { client.fetch_records(from.0, 1..READ_BYTES, WAIT_MS).await },
            )
            .await?;
        Ok(records)
    }

    /// Decodes a dead letter; `None` if a worker of another ledger wrote it.
    fn decode_letter(
        &self,
        partition: Partition,
        found: RecordAndOffset,
    ) -> Option<DeadLetterEntry> {
        let id = DeadLetterId {
            partition,
            offset: Offset(found.offset),
        };
        message::read_dead_letter(id, found.record, self.ledger.tag())
    }
}
