//! What every attempt log must do: a suite over a [`LogBed`], one bed an engine; what only one of them does is in its
//! module.

mod kafka;
mod model;
mod sqlite;

use chrono::DateTime;
use flashsale::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, AttemptLog, DeadLetter, DeadLetterEntry, LogEntry, LogError, Offset, Partition,
        RawRecord,
    },
};

/// An empty log of a test's own.
pub trait LogBed: Sized {
    async fn start() -> Self;

    fn log(&self) -> &dyn AttemptLog;

    /// Records by another hand than the engine's, into one partition.
    async fn write_by_hand(&self, records: &[&str]);

    async fn dead_letters(&self) -> Vec<Buried>;
}

/// A dead letter as it can be found.
#[derive(Debug, PartialEq, Eq)]
pub struct Buried {
    pub partition: i32,
    pub offset: i64,
    pub cause: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

macro_rules! suite {
    ($engine:ident, $bed:ty: $($test:ident),+ $(,)?) => {
        mod $engine {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&<$bed as super::LogBed>::start().await).await;
            })+
        }
    };
    ($($engine:ident: $bed:ty),+) => {
        $(suite! { $engine, $bed:
            what_is_appended_is_read_back_in_order_within_a_shopper,
            reading_at_the_end_waits_a_little_and_answers_with_nothing,
            who_waits_at_the_end_is_woken_by_an_append,
            an_offset_outside_the_log_is_reported_with_what_is_there,
            dead_letters_keep_the_bytes_and_say_where_from_and_why,
            records_of_another_hand_are_read_and_garbage_is_named,
            dead_letters_are_found_again_page_by_page,
        })+
    };
}

suite!(on_kafka: super::kafka::KafkaBed, on_sqlite: super::sqlite::SqliteBed, on_model: super::model::ModelBed);

pub fn attempt(user: i64) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: UserId::new(user).unwrap(),
        at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
    }
}

/// Everything in the log, by partition and in order.
pub async fn read_all(log: &dyn AttemptLog) -> Vec<(Partition, Vec<Attempt>)> {
    let mut all = Vec::new();
    for (partition, end) in log.ends().await.unwrap() {
        let (mut next, mut attempts) = (log.earliest(partition).await.unwrap(), Vec::new());
        while next < end {
            let batch = log.read(partition, next).await.unwrap();
            assert!(batch.next > next, "reading moves on");
            attempts.extend(batch.records.into_iter().map(|record| match record.entry {
                LogEntry::Attempt(attempt) => attempt,
                LogEntry::Undecodable(cause) => panic!("{cause}"),
                LogEntry::OtherLedger(ledger) => panic!("of ledger {ledger}"),
            }));
            next = batch.next;
        }
        all.push((partition, attempts));
    }
    all
}

async fn what_is_appended_is_read_back_in_order_within_a_shopper(bed: &impl LogBed) {
    let log = bed.log();
    let attempts: Vec<_> = (0..1_500).map(|n| attempt(n % 50 + 1)).collect();
    for part in attempts.chunks(500) {
        assert!(log.append(part).await.iter().all(Result::is_ok));
    }
    let read = read_all(log).await;
    assert_eq!(i32::try_from(read.len()).unwrap(), log.partitions());
    assert!(
        read.iter().all(|(_, attempts)| !attempts.is_empty()),
        "50 shoppers spread over all partitions"
    );
    for user in 1..=50 {
        let user = UserId::new(user).unwrap();
        let expected: Vec<_> = attempts
            .iter()
            .filter(|a| a.user == user)
            .copied()
            .collect();
        let partitions: Vec<_> = read
            .iter()
            .filter(|(_, list)| list.iter().any(|a| a.user == user))
            .collect();
        assert_eq!(partitions.len(), 1, "one partition a shopper");
        let found: Vec<_> = partitions[0]
            .1
            .iter()
            .filter(|a| a.user == user)
            .copied()
            .collect();
        assert_eq!(found, expected);
    }
}

async fn reading_at_the_end_waits_a_little_and_answers_with_nothing(bed: &impl LogBed) {
    let batch = bed.log().read(Partition(0), Offset(0)).await.unwrap();
    assert_eq!(
        (batch.records.len(), batch.next, batch.end),
        (0, Offset(0), Offset(0))
    );
}

async fn who_waits_at_the_end_is_woken_by_an_append(bed: &impl LogBed) {
    let log = bed.log();
    assert!(log.append(&[attempt(1)]).await[0].is_ok());
    let ends = log.ends().await.unwrap();
    let (partition, end) = ends.into_iter().find(|(_, end)| end.0 == 1).unwrap();
    // Polled first, so that it waits when the append begins.
    let (batch, answers) = tokio::join!(
        biased;
        log.read(partition, end),
        async { log.append(&[attempt(1)]).await }
    );
    assert!(answers[0].is_ok());
    assert_eq!(batch.unwrap().records.len(), 1);
}

async fn an_offset_outside_the_log_is_reported_with_what_is_there(bed: &impl LogBed) {
    let log = bed.log();
    assert!(log.append(&[attempt(1)]).await[0].is_ok());
    let ends = log.ends().await.unwrap();
    let (partition, _) = ends.into_iter().find(|(_, end)| end.0 == 1).unwrap();
    match log.read(partition, Offset(7)).await {
        Err(LogError::OutOfRange {
            asked,
            earliest,
            end,
        }) => {
            assert_eq!((asked, earliest, end), (Offset(7), Offset(0), Offset(1)));
        }
        other => panic!("{other:?}"),
    }
}

async fn dead_letters_keep_the_bytes_and_say_where_from_and_why(bed: &impl LogBed) {
    let raw = RawRecord {
        key: Some(b"\xffkey".to_vec()),
        value: Some(b"\x00garbage".to_vec()),
    };
    let letter = DeadLetter {
        partition: Partition(2),
        offset: Offset(41),
        cause: "not an attempt".to_owned(),
        raw: raw.clone(),
        buried_at: attempt(1).at,
    };
    bed.log().dead_letter(&[letter]).await.unwrap();
    let expected = Buried {
        partition: 2,
        offset: 41,
        cause: "not an attempt".to_owned(),
        key: raw.key,
        value: raw.value,
    };
    assert_eq!(bed.dead_letters().await, [expected]);
}

async fn records_of_another_hand_are_read_and_garbage_is_named(bed: &impl LogBed) {
    bed.write_by_hand(&[
        include_str!("../../golden/attempt-original-numbers.json").trim_end(),
        "not json",
        include_str!("../../golden/attempt-v1.json").trim_end(),
    ])
    .await;
    let log = bed.log();
    let ends = log.ends().await.unwrap();
    let (partition, _) = ends.into_iter().find(|(_, end)| end.0 == 3).unwrap();
    let batch = log.read(partition, Offset(0)).await.unwrap();
    let entries: Vec<_> = batch.records.iter().map(|record| &record.entry).collect();
    assert!(matches!(entries[0], LogEntry::Attempt(attempt) if attempt.user.value() == 42));
    assert!(matches!(entries[1], LogEntry::Undecodable(cause) if cause.contains("not an attempt")));
    assert_eq!(
        batch.records[1].raw.value.as_deref(),
        Some(b"not json".as_slice())
    );
    assert!(matches!(entries[2], LogEntry::Attempt(attempt) if attempt.sale.value() == 7));
}

/// All dead letters in the first of their partitions.
pub async fn find_letters(log: &dyn AttemptLog) -> Vec<DeadLetterEntry> {
    let (mut found, mut next) = (Vec::new(), Offset(0));
    loop {
        let page = log.read_dead_letters(Partition(0), next).await.unwrap();
        found.extend(page.entries);
        if page.next >= page.end {
            return found;
        }
        assert!(page.next > next, "reading moves on");
        next = page.next;
    }
}

async fn dead_letters_are_found_again_page_by_page(bed: &impl LogBed) {
    let log = bed.log();
    assert_eq!(find_letters(log).await, []);
    let attempt = include_str!("../../golden/attempt-v1.json").trim_end();
    let letter = |offset: i64| DeadLetter {
        partition: Partition(0),
        offset: Offset(offset),
        cause: format!("cause {offset}"),
        raw: RawRecord {
            key: None,
            value: Some(match offset {
                7 => attempt.as_bytes().to_vec(),
                _ => b"\x00garbage".repeat(100),
            }),
        },
        buried_at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
    };
    let letters: Vec<_> = (0..1_200).map(letter).collect();
    log.dead_letter(&letters).await.unwrap();
    let found = find_letters(log).await;
    let read: Vec<_> = found.iter().map(|found| found.letter.clone()).collect();
    assert_eq!(read, letters);
    assert!(matches!(found[7].entry, LogEntry::Attempt(attempt) if attempt.sale.value() == 7));
    assert!(
        matches!(&found[8].entry, LogEntry::Undecodable(cause) if cause.contains("not an attempt"))
    );
    assert!(found.iter().all(|found| found.omitted_bytes.is_none()));

    let page = log
        .read_dead_letters(Partition(0), found[900].id.offset)
        .await;
    assert_eq!(page.unwrap().entries[0], found[900]);
    let end = Offset(found[1_199].id.offset.0 + 1);
    let page = log.read_dead_letters(Partition(0), end).await.unwrap();
    assert_eq!((page.entries.len(), page.end), (0, end));
}
