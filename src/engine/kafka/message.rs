//! Kafka records: key, value and headers. The format of the value is defined in `engine::record`.

use rskafka::record::{Record, RecordAndOffset};

use crate::{
    engine::record,
    ids::LedgerTag,
    port::{
        Attempt, DeadLetter, DeadLetterEntry, DeadLetterId, LogEntry, LogRecord, Offset, Partition,
        RawRecord,
    },
    telemetry::{SpanContext, TracedAttempt, note_attempt, traced_attempts},
};

/// Header with the ledger's tag, which is the last eight digits of the ledger's id.
const LEDGER: &str = "flashsale.ledger";
/// Header with the span that appended the record, of traced attempts only (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
const CAUSE: &str = "flashsale.cause";
const PARTITION: &str = "flashsale.partition";
const OFFSET: &str = "flashsale.offset";
const OMITTED_BYTES: &str = "flashsale.omitted-bytes";

/// The record of an attempt. Its key is the user id, so that all attempts of one shopper are in one partition. A header names
/// the ledger whose ids the record contains. Another one, of traced attempts only, names the span that appends it.
pub(super) fn of_attempt(attempt: &Attempt, ledger: Option<LedgerTag>) -> Record {
    let traced = traced_attempts([attempt.id.0].into_iter()).pop();
    let traceparent = traced.map(|traced| {
        let value = traced.span.traceparent().to_vec();
        (TRACEPARENT.to_owned(), value)
    });
    Record {
        key: Some(attempt.user.to_string().into_bytes()),
        value: Some(record::encode(attempt)),
        headers: ledger
            .map(ledger_header)
            .into_iter()
            .chain(traceparent)
            .collect(),
        timestamp: attempt.at,
    }
}

fn ledger_header(ledger: LedgerTag) -> (String, Vec<u8>) {
    (LEDGER.to_owned(), ledger.to_string().into_bytes())
}

/// The ledger that a record's header names. Records of older versions, the original service and other producers have no such
/// header.
fn ledger_of(record: &Record) -> Result<Option<LedgerTag>, String> {
    let Some(value) = record.headers.get(LEDGER) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value);
    text.parse()
        .map(Some)
        .map_err(|error| format!("header {LEDGER} {text:?} {error}"))
}

/// Decodes a record for the ledger `ours`. The boolean is true if the record's header names that ledger. The value of a record
/// of another ledger is not decoded.
pub(super) fn read(record: Record, ours: Option<LedgerTag>) -> (LogEntry, bool, RawRecord) {
    let ledger = ledger_of(&record);
    let span = record.headers.get(TRACEPARENT);
    let span = span.and_then(|header| SpanContext::parse(header));
    let raw = RawRecord {
        key: record.key,
        value: record.value,
    };
    let is_of_ledger = ours.is_some() && ledger == Ok(ours);
    let entry = match ledger {
        Ok(Some(ledger)) if ours.is_some_and(|ours| ours != ledger) => {
            LogEntry::OtherLedger(ledger)
        }
        Ok(_) => match record::decode(&raw) {
            Ok(attempt) => LogEntry::Attempt(attempt),
            Err(cause) => LogEntry::Undecodable(cause),
        },
        Err(cause) => LogEntry::Undecodable(cause),
    };
    if let (Some(span), LogEntry::Attempt(attempt)) = (span, &entry) {
        note_attempt(TracedAttempt {
            id: attempt.id.0,
            sale: attempt.sale.value(),
            user: attempt.user.value(),
            span,
        });
    }
    (entry, is_of_ledger, raw)
}

/// A record for the dead letters' topic: the original key and value, with the cause and the original position in headers.
/// `keep_value` is false for a letter that is too large to be written: key and value are then omitted, and the headers still
/// give the position of the original record.
pub(super) fn of_dead_letter(
    topic: &str,
    ledger: Option<LedgerTag>,
    letter: &DeadLetter,
    keep_value: bool,
) -> Record {
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
            .chain(ledger.map(ledger_header))
            .collect(),
        timestamp: letter.buried_at,
    }
}

/// Decodes a dead letter. A record without this service's headers was written by another program; its own position is then
/// taken as the original one. `None` if a worker of another ledger wrote it: if it were replayed here, its ids would name other
/// sales and shoppers.
pub(super) fn read_dead_letter(
    id: DeadLetterId,
    buried: Record,
    ours: Option<LedgerTag>,
) -> Option<DeadLetterEntry> {
    let ledger = ledger_of(&buried).ok().flatten();
    if ours.is_some() && ledger.is_some() && ledger != ours {
        return None;
    }
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
    Some(DeadLetterEntry {
        id,
        entry: match record::decode(&raw) {
            Ok(attempt) => LogEntry::Attempt(attempt),
            Err(cause) => LogEntry::Undecodable(cause),
        },
        letter: DeadLetter {
            partition: partition.map_or(id.partition, Partition),
            offset: offset.map_or(id.offset, Offset),
            cause,
            raw,
            buried_at: buried.timestamp,
        },
        omitted_bytes,
    })
}

/// A record of the attempts' topic, as a node of the ledger `ours` reads it.
pub(super) fn log_record(found: RecordAndOffset, ours: Option<LedgerTag>) -> LogRecord {
    let (entry, is_of_ledger, raw) = read(found.record, ours);
    LogRecord {
        offset: Offset(found.offset),
        entry,
        is_of_ledger,
        raw,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::ids::{ProductId, SaleId, UserId};

    fn attempt() -> Attempt {
        Attempt {
            id: "01990000-0000-7000-8000-000000000001".parse().unwrap(),
            sale: SaleId::new(7).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(42).unwrap(),
            at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
        }
    }

    #[allow(clippy::unnecessary_wraps)] // the type of the parameters that take it
    fn tag(text: &str) -> Option<LedgerTag> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_attempt_is_keyed_by_its_shopper() {
        assert_eq!(of_attempt(&attempt(), None).key.unwrap(), b"42");
    }

    /// The key, headers and value of a record, one per line.
    fn to_lines(record: &Record) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", text(value)))
            .collect();
        format!(
            "{}\n{}{}\n",
            text(record.key.as_ref().unwrap()),
            headers.concat(),
            text(record.value.as_ref().unwrap())
        )
    }

    #[test]
    fn a_record_of_this_version_is_written_as_its_golden_file_says() {
        let golden = include_str!("../../../tests/golden/record-with-ledger.txt");
        let record = of_attempt(&attempt(), tag("1a2b3c4d"));
        assert_eq!(to_lines(&record), golden);
    }

    #[test]
    fn a_record_of_another_ledger_is_recognised_and_one_without_a_ledger_is_ours() {
        let (ours, other) = (tag("1a2b3c4d"), tag("00000001"));
        let read = |written, reader| {
            let (entry, is_of_ledger, _) = read(of_attempt(&attempt(), written), reader);
            (entry, is_of_ledger)
        };
        assert_eq!(read(ours, ours), (LogEntry::Attempt(attempt()), true));
        assert_eq!(read(None, ours), (LogEntry::Attempt(attempt()), false));
        assert_eq!(
            read(other, ours),
            (LogEntry::OtherLedger(other.unwrap()), false)
        );
        // A reader without a ledger id accepts the records of every ledger.
        assert_eq!(read(other, None), (LogEntry::Attempt(attempt()), false));
    }

    #[test]
    fn a_record_with_an_unreadable_ledger_is_undecodable_and_never_skipped() {
        let mut record = of_attempt(&attempt(), tag("1a2b3c4d"));
        record.headers.insert(LEDGER.to_owned(), b"mine".to_vec());
        let (entry, is_of_ledger, _) = read(record, tag("1a2b3c4d"));
        assert!(matches!(entry, LogEntry::Undecodable(cause) if cause.contains("\"mine\"")));
        assert!(!is_of_ledger);
    }

    #[test]
    fn a_dead_letter_of_another_ledger_is_not_found() {
        let letter = DeadLetter {
            partition: Partition(1),
            offset: Offset(2),
            cause: "there is no sale 7".to_owned(),
            raw: RawRecord {
                key: None,
                value: Some(record::encode(&attempt())),
            },
            buried_at: attempt().at,
        };
        let id = DeadLetterId {
            partition: Partition(0),
            offset: Offset(0),
        };
        let (ours, other) = (tag("1a2b3c4d"), tag("00000001"));
        let found = |ledger| {
            let buried = of_dead_letter("attempts", ledger, &letter, true);
            read_dead_letter(id, buried, ours).map(|found| found.letter)
        };
        assert_eq!(found(ours), Some(letter.clone()));
        assert_eq!(found(None), Some(letter.clone()));
        assert_eq!(found(other), None);
    }
}
