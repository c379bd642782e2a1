//! Dead letters as they are found again, and what people decided about them.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};

use super::{DeadLetter, LogEntry, Offset, Partition};
use crate::ids::AttemptId;

/// Where a dead letter lies: a partition of the dead letters, and its offset there. Written `0:17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterId {
    pub partition: Partition,
    pub offset: Offset,
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// What is wrong with the text of a letter's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a partition and an offset as `list` shows them, like 0:17")]
pub struct InvalidDeadLetterId;

impl FromStr for DeadLetterId {
    type Err = InvalidDeadLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        let (partition, offset) = text.split_once(':').ok_or(InvalidDeadLetterId)?;
        let partition = partition.parse().map_err(|_| InvalidDeadLetterId)?;
        let offset = offset.parse().map_err(|_| InvalidDeadLetterId)?;
        if partition < 0 || offset < 0 {
            return Err(InvalidDeadLetterId);
        }
        Ok(Self {
            partition: Partition(partition),
            offset: Offset(offset),
        })
    }
}

/// A dead letter that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterEntry {
    pub id: DeadLetterId,
    pub letter: DeadLetter,
    /// What its record says to this version of the program.
    pub entry: LogEntry,
    /// If the record was too large to keep whole: the number of bytes of its value, which is missing.
    pub omitted_bytes: Option<u64>,
}

/// Dead letters of one partition, in order.
#[derive(Debug, Clone)]
pub struct DeadLetterPage {
    pub entries: Vec<DeadLetterEntry>,
    /// Where to read on.
    pub next: Offset,
    /// The end when it was read.
    pub end: Offset,
}

/// What was decided about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterDecision {
    pub letter: DeadLetterId,
    /// When the letter was buried, to the millisecond: a letter of a topic that was made anew may have the same id.
    pub buried_at: DateTime<Utc>,
    pub action: DeadLetterAction,
    pub reason: Option<String>,
    /// Who decided.
    pub by: String,
    pub at: DateTime<Utc>,
}

/// One or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterAction {
    /// Its attempt was appended to the log again, under this id.
    Replayed { attempt: AttemptId },
    /// Nothing will come of it.
    Discarded,
}

impl DeadLetterDecision {
    /// True if it is about this very letter.
    #[must_use]
    pub fn is_about(&self, letter: &DeadLetterEntry) -> bool {
        self.letter == letter.id
            && self.buried_at.timestamp_millis() == letter.letter.buried_at.timestamp_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_named_by_partition_and_offset() {
        let id = "2:41".parse::<DeadLetterId>().unwrap();
        assert_eq!((id.partition, id.offset), (Partition(2), Offset(41)));
        assert_eq!(id.to_string(), "2:41");
        for wrong in [
            "",
            "41",
            ":",
            "2:",
            ":41",
            "-1:4",
            "2:-4",
            "2:4:1",
            "a:b",
            "9999999999:1",
        ] {
            assert_eq!(
                wrong.parse::<DeadLetterId>(),
                Err(InvalidDeadLetterId),
                "{wrong:?}"
            );
        }
    }
}
