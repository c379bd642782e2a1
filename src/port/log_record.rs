//! Records of the attempt log, and their places in it.

use std::fmt;

use chrono::{DateTime, Utc};

use super::Attempt;
use crate::ids::LedgerTag;

/// A partition of the log, from 0. All attempts of one shopper are in one partition, as long as no partitions are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a partition: records are numbered from 0; there may be gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub offset: Offset,
    pub entry: LogEntry,
    /// It carries the id of this ledger: a node of this ledger wrote it, for an account that it knew. Records of older versions
    /// and of other producers carry none.
    pub is_of_ledger: bool,
    /// The record's bytes, for the dead letters.
    pub raw: RawRecord,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    Attempt(Attempt),
    /// A node of another ledger wrote it: its numbers are those of other sales and shoppers.
    OtherLedger(LedgerTag),
    /// It cannot be understood, for this cause.
    Undecodable(String),
}

/// The bytes of a record, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// A record on its way to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub partition: Partition,
    pub offset: Offset,
    pub cause: String,
    pub raw: RawRecord,
    pub buried_at: DateTime<Utc>,
}
