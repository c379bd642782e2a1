//! Settling: who gets a unit, from one worker and from many.

use std::collections::BTreeMap;

use flashsale::{
    ids::{AttemptId, SaleId, UserId},
    port::{Attempt, Ledger, Offset, Outcome, Partition, Rejection, SeekOutcome, SettleError},
};
use futures::future::join_all;

use super::{
    TestBed,
    bed::{GROUP, SqlBed, TOPIC, attempt, make_partitions, position, settle, settle_with},
};

pub(super) fn attempts(sale: SaleId, users: &[UserId]) -> Vec<Attempt> {
    users.iter().map(|user| attempt(sale, *user)).collect()
}

fn count(outcomes: &[Outcome], wanted: Outcome) -> usize {
    outcomes
        .iter()
        .filter(|outcome| **outcome == wanted)
        .count()
}

pub(super) async fn offset(ledger: &dyn Ledger, partition: i32) -> i64 {
    ledger.committed_offsets(GROUP, TOPIC).await.unwrap()[&Partition(partition)].0
}

pub async fn first_come_first_served_until_it_is_sold_out(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(5).await;
    let sale = bed.sale(3).await;
    make_partitions(&*ledger, 1).await;
    let outcomes = settle(&*ledger, 0, 0, &attempts(sale, &users))
        .await
        .unwrap();
    assert_eq!(
        outcomes,
        [[Outcome::Ordered; 3].as_slice(), &[Outcome::SoldOut; 2]].concat()
    );
    assert_eq!(offset(&*ledger, 0).await, 5);
    assert_eq!(bed.attempts().await, 5);
}

pub async fn never_more_orders_than_stock_from_many_partitions_at_once(bed: &impl TestBed) {
    let users = bed.shoppers(160).await;
    let sale = bed.sale(37).await;
    make_partitions(&*bed.ledger().await, 8).await;
    let workers = (0..8)
        .zip(users.chunks(20))
        .map(|(partition, users)| async move {
            let ledger = bed.ledger().await;
            let mut outcomes = Vec::new();
            for (number, chunk) in (0..).zip(users.chunks(5)) {
                outcomes.extend(
                    settle(&*ledger, partition, number * 5, &attempts(sale, chunk))
                        .await
                        .unwrap(),
                );
            }
            outcomes
        });
    let outcomes = join_all(workers).await.concat();
    assert_eq!(
        (
            count(&outcomes, Outcome::Ordered),
            count(&outcomes, Outcome::SoldOut)
        ),
        (37, 123)
    );
    assert_eq!(bed.orders().await, 37);
}

pub async fn a_second_order_of_a_shopper_is_refused_across_batches(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let (first, second) = (attempt(sale, users[0]), attempt(sale, users[0]));
    assert_eq!(
        settle(&*ledger, 0, 0, &[first]).await.unwrap(),
        [Outcome::Ordered]
    );
    assert_eq!(
        settle(&*ledger, 0, 1, &[second]).await.unwrap(),
        [Outcome::AlreadyOrdered { by: first.id }]
    );
}

pub async fn a_second_order_of_a_shopper_is_refused_within_a_batch(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let (first, second) = (attempt(sale, users[0]), attempt(sale, users[0]));
    let outcomes = settle(&*ledger, 0, 0, &[first, second, first])
        .await
        .unwrap();
    assert_eq!(
        outcomes,
        [
            Outcome::Ordered,
            Outcome::AlreadyOrdered { by: first.id },
            Outcome::Ordered
        ]
    );
}

pub async fn a_shopper_in_many_partitions_at_once_gets_one_order(bed: &impl TestBed) {
    let users = bed.shoppers(5).await;
    let sale = bed.sale(50).await;
    make_partitions(&*bed.ledger().await, 6).await;
    let workers = (0..6).map(|partition| {
        let batch = attempts(sale, &users);
        async move {
            settle(&*bed.ledger().await, partition, 0, &batch)
                .await
                .unwrap()
        }
    });
    let outcomes = join_all(workers).await.concat();
    assert_eq!(count(&outcomes, Outcome::Ordered), 5);
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::AlreadyOrdered { .. }))
            .count(),
        25
    );
}

pub async fn settling_again_answers_the_same(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(4).await;
    let sale = bed.sale(2).await;
    make_partitions(&*ledger, 1).await;
    let batch = attempts(sale, &users);
    let before = settle(&*ledger, 0, 0, &batch).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            ledger
                .seek(&position(0), Offset(4), Offset(0))
                .await
                .unwrap(),
            SeekOutcome::Moved
        );
        assert_eq!(settle(&*ledger, 0, 0, &batch).await.unwrap(), before);
    }
    assert_eq!((bed.orders().await, bed.attempts().await), (2, 4));
}

pub async fn settling_again_answers_the_same_and_changes_nothing(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(4).await;
    let sale = bed.sale(2).await;
    make_partitions(&*ledger, 1).await;
    let mut batch = attempts(sale, &users);
    batch.insert(1, attempt(sale, users[0]));
    let mut unknown = attempt(sale, users[0]);
    unknown.user = UserId::new(4711).unwrap();
    batch.push(unknown);
    let rejected = [Rejection {
        attempt: unknown.id,
        cause: "there is no\0such user".into(),
    }];

    let before = settle_with(&*ledger, 0, 0, &batch, &rejected)
        .await
        .unwrap();
    assert_eq!(before[1], Outcome::AlreadyOrdered { by: batch[0].id });
    bed.execute("DELETE FROM orders WHERE user_id = 2")
        .await
        .unwrap(); // a unit comes back; the past stays
    bed.execute("UPDATE purchase_attempts SET outcome = 'SOLD_OUT' WHERE user_id = 2")
        .await
        .unwrap();
    assert_eq!(
        ledger
            .seek(&position(0), Offset(6), Offset(0))
            .await
            .unwrap(),
        SeekOutcome::Moved
    );
    let sums = "SELECT (SELECT count(*) FROM orders) * 1000 + count(*) FROM purchase_attempts";
    let (rows, mut expected) = (bed.number(sums).await, before);
    expected[2] = Outcome::SoldOut;
    assert_eq!(
        settle_with(&*ledger, 0, 0, &batch, &[]).await.unwrap(),
        expected
    );
    assert_eq!(bed.number(sums).await, rows);
    assert_eq!(offset(&*ledger, 0).await, 6);
}

pub async fn the_same_attempts_from_two_partitions_at_once_count_once(bed: &impl TestBed) {
    let users = bed.shoppers(20).await;
    let sale = bed.sale(10).await;
    make_partitions(&*bed.ledger().await, 4).await;
    let batch = attempts(sale, &users);
    let answers = join_all((0..4).map(|partition| {
        let batch = &batch;
        async move {
            settle(&*bed.ledger().await, partition, 0, batch)
                .await
                .unwrap()
        }
    }))
    .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(count(&answers[0], Outcome::Ordered), 10);
}

pub async fn the_cause_of_a_rejection_is_recorded(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let mut batch = [attempt(sale, users[0]); 2];
    (batch[1].id, batch[1].sale) = (AttemptId::generate(), SaleId::new(4711).unwrap());
    let Err(SettleError::Unsettleable(rejected)) = settle(&*ledger, 0, 0, &batch).await else {
        panic!("it was settled");
    };
    settle_with(&*ledger, 0, 0, &batch, &rejected)
        .await
        .unwrap();
    let causes = "SELECT count(*) FROM purchase_attempts WHERE cause LIKE 'there is no sale%'";
    assert_eq!(bed.number(causes).await, 1);
}

pub async fn outcomes_are_found_by_attempt(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(1).await;
    make_partitions(&*ledger, 1).await;
    let batch = [
        attempt(sale, users[0]),
        attempt(sale, users[1]),
        attempt(sale, users[0]),
    ];
    settle(&*ledger, 0, 0, &batch).await.unwrap();
    let mut asked: Vec<AttemptId> = batch.iter().map(|attempt| attempt.id).collect();
    asked.push(AttemptId::generate());
    let expected = BTreeMap::from([
        (asked[0], Outcome::Ordered),
        (asked[1], Outcome::SoldOut),
        (asked[2], Outcome::AlreadyOrdered { by: asked[0] }),
    ]);
    assert_eq!(ledger.outcomes(&asked).await.unwrap(), expected);
    assert!(ledger.outcomes(&[]).await.unwrap().is_empty());
}
