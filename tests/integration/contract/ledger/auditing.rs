//! What audits read and operators note.

use chrono::{DateTime, TimeDelta};
use flashsale::{
    ids::AttemptId,
    port::{DeadLetterAction, DeadLetterDecision, DeadLetterId, Offset, Partition, SettledAttempt},
};

use super::{
    TestBed,
    bed::{SqlBed, attempt, make_partitions, settle},
};

pub async fn settled_attempts_are_paged_with_what_stands_of_them(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(5).await;
    let sale = bed.sale(4).await;
    make_partitions(&*ledger, 1).await;
    assert_eq!(ledger.settled(None, 10).await.unwrap(), []);
    let mut attempts: Vec<_> = users.iter().map(|user| attempt(sale, *user)).collect();
    settle(&*ledger, 0, 0, &attempts).await.unwrap();
    bed.execute(&format!("DELETE FROM orders WHERE user_id = {}", users[1]))
        .await
        .unwrap();

    attempts.sort_by_key(|attempt| attempt.id);
    let expected: Vec<_> = attempts
        .iter()
        .map(|attempt| SettledAttempt {
            attempt: attempt.id,
            sale,
            user: attempt.user,
            // Four units; the last shopper got none, and the second one's order is gone.
            ordered: attempt.user != users[4],
            has_order: attempt.user != users[4] && attempt.user != users[1],
        })
        .collect();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.settled(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        after = page.last().map(|last| last.attempt);
        found.extend_from_slice(&page);
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(found, expected);
    let removed = attempts.iter().find(|a| a.user == users[1]).unwrap();
    bed.order(sale, sale.value(), users[1], removed.id, "SUCCESS")
        .await
        .unwrap();
}

pub async fn decisions_are_kept_in_their_order_log_by_log(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let decision = |offset, action, reason: Option<&str>| DeadLetterDecision {
        letter: DeadLetterId {
            partition: Partition(1),
            offset: Offset(offset),
        },
        buried_at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
        action,
        reason: reason.map(str::to_owned),
        by: "ann".to_owned(),
        at: DateTime::from_timestamp_millis(1_767_268_900_456).unwrap()
            + TimeDelta::milliseconds(offset),
    };
    let replayed = DeadLetterAction::Replayed {
        attempt: AttemptId::generate(),
    };
    let noted = [
        decision(9, DeadLetterAction::Discarded, Some("a test's")),
        decision(3, replayed, None),
        decision(9, replayed, Some("after all")),
    ];
    for decision in &noted {
        ledger.note_decision("attempts", decision).await.unwrap();
    }
    assert_eq!(ledger.decisions("attempts").await.unwrap(), noted);
    assert_eq!(ledger.decisions("others").await.unwrap(), []);
    for reason in [None, Some("")] {
        let baseless = decision(1, DeadLetterAction::Discarded, reason);
        ledger
            .note_decision("attempts", &baseless)
            .await
            .unwrap_err();
    }
}
