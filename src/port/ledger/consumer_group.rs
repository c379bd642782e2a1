//! The workers that read a log, and which of them reads which partition.

use async_trait::async_trait;
use std::time::Duration;

use crate::{
    ids::AttemptId,
    port::{LedgerError, Offset, Partition},
};

/// The position of a consumer group in a partition of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub group: String,
    /// The log's name.
    pub topic: String,
    pub partition: Partition,
}

/// A worker process of a group that reads a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub group: String,
    /// The log's name.
    pub topic: String,
    /// Unique to the process.
    pub id: String,
}

/// A partition that is this member's to read, until its time runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub partition: Partition,
    /// The first record that is not settled.
    pub next: Offset,
    /// The attempt of the last settled record, to find out whether the log is still the one that was read.
    pub last: Option<AttemptId>,
}

/// The answer to moving a position, of a partition or of a consumer in a sale's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekOutcome {
    Moved,
    /// The position is not the expected one: another worker has moved it. Nothing was changed.
    Fenced,
}

/// Membership, leases and positions of a group of workers.
#[async_trait]
pub trait ConsumerGroup: Send + Sync {
    /// Says that this member lives, renews its leases for `ttl`, forgets members that have been silent for longer, and
    /// leases free partitions up to its fair share. Answers with all that it holds now and its fair share: the live
    /// members in the order of their ids get the partitions evenly, the first ones one more if it does not divide. A
    /// member that holds more than its share is expected to release the rest.
    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError>;

    /// Releases partitions that this member holds.
    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError>;

    /// Releases everything and takes the member off the list.
    async fn leave(&self, member: &Member) -> Result<(), LedgerError>;

    /// Moves a partition from offset `from` to another one without settling, if it stands there.
    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError>;
}
