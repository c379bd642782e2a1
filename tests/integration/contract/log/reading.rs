//! Records as they are read back.

use flashsale::{
    ids::UserId,
    port::{LogEntry, LogError, Offset, Partition},
};

use super::{LogBed, attempt, read_all};

pub async fn what_is_appended_is_read_back_in_order_within_a_shopper(bed: &impl LogBed) {
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

pub async fn reading_at_the_end_waits_a_little_and_answers_with_nothing(bed: &impl LogBed) {
    let batch = bed.log().read(Partition(0), Offset(0)).await.unwrap();
    assert_eq!(
        (batch.records.len(), batch.next, batch.end),
        (0, Offset(0), Offset(0))
    );
}

pub async fn who_waits_at_the_end_is_woken_by_an_append(bed: &impl LogBed) {
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

pub async fn an_offset_outside_the_log_is_reported_with_what_is_there(bed: &impl LogBed) {
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

pub async fn records_of_another_hand_are_read_and_garbage_is_named(bed: &impl LogBed) {
    bed.write_by_hand(&[
        include_str!("../../../golden/attempt-original-numbers.json").trim_end(),
        "not json",
        include_str!("../../../golden/attempt-v1.json").trim_end(),
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
