//! Records as Kafka takes them: key, value, headers. What the value says is `engine::record`'s.

use std::collections::BTreeMap;

use rskafka::record::Record;

use crate::{
    engine::record,
    port::{Attempt, DeadLetter, FoundLetter, LetterId, LogEntry, Offset, Partition, RawRecord},
};

const CAUSE: &str = "flashsale.cause";
const PARTITION: &str = "flashsale.partition";
const OFFSET: &str = "flashsale.offset";
const OMITTED_BYTES: &str = "flashsale.omitted-bytes";

/// The record of an attempt. Its key puts all attempts of one shopper into one partition.
pub(super) fn of_attempt(attempt: &Attempt) -> Record {
    Record {
        key: Some(attempt.user.to_string().into_bytes()),
        value: Some(record::encode(attempt)),
        headers: BTreeMap::new(),
        timestamp: attempt.at,
    }
}

/// A record for the dead letters: the bytes as they came, where from and why in the headers. Without its value when that
/// is too large to be buried; the headers say where it can be found.
pub(super) fn of_dead_letter(topic: &str, letter: &DeadLetter, keep_value: bool) -> Record {
    let size = letter.raw.value.as_ref().map_or(0, Vec::len);
    let omitted = (!keep_value).then(|| (OMITTED_BYTES, size.to_string()));
    let headers = [
        (CAUSE, letter.cause.clone()),
        ("flashsale.topic", topic.to_owned()),
        (PARTITION, letter.partition.to_string()),
        (OFFSET, letter.offset.to_string()),
    ];
    Record {
        key: letter.raw.key.clone().filter(|_| keep_value),
        value: letter.raw.value.clone().filter(|_| keep_value),
        headers: headers
            .into_iter()
            .chain(omitted)
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect(),
        timestamp: letter.buried_at,
    }
}

/// A dead letter as it was found. One without our headers was put there by another hand, and is its own record.
pub(super) fn read_dead_letter(id: LetterId, buried: Record) -> FoundLetter {
    let header = |name: &str| {
        let value = buried.headers.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let partition = header(PARTITION).and_then(|text| text.parse().ok());
    let offset = header(OFFSET).and_then(|text| text.parse().ok());
    let cause = header(CAUSE).unwrap_or_else(|| "it does not say why it is here".to_owned());
    let omitted_bytes = header(OMITTED_BYTES).and_then(|text| text.parse().ok());
    let raw = RawRecord {
        key: buried.key,
        value: buried.value,
    };
    FoundLetter {
        id,
        entry: match record::decode(&raw) {
            Ok(attempt) => LogEntry::Attempt(attempt),
            Err(cause) => LogEntry::Garbage(cause),
        },
        letter: DeadLetter {
            partition: partition.map_or(id.partition, Partition),
            offset: offset.map_or(id.offset, Offset),
            cause,
            raw,
            buried_at: buried.timestamp,
        },
        omitted_bytes,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::ids::{AttemptId, ProductId, SaleId, UserId};

    #[test]
    fn an_attempt_is_keyed_by_its_shopper() {
        let attempt = Attempt {
            id: AttemptId::generate(),
            sale: SaleId::new(7).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(42).unwrap(),
            at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(of_attempt(&attempt).key.unwrap(), b"42");
    }
}
