//! Dead letters as they are kept and found again.

use chrono::DateTime;
use flashsale::port::{DeadLetter, LogEntry, Offset, Partition, RawRecord};

use super::{Buried, LogBed, attempt, find_letters};

pub async fn dead_letters_keep_the_bytes_and_say_where_from_and_why(bed: &impl LogBed) {
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

pub async fn dead_letters_are_found_again_page_by_page(bed: &impl LogBed) {
    let log = bed.log();
    assert_eq!(find_letters(log).await, []);
    let attempt = include_str!("../../../golden/attempt-v1.json").trim_end();
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
