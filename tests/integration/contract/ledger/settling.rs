//! Settling: the promises, from one worker and from many.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, Ledger, Offset, Outcome, Partition, Rejection, SeekOutcome, SettleBatch,
        SettleError,
    },
};
use futures::future::join_all;

use super::{
    TestBed,
    bed::{GROUP, SqlBed, TOPIC, attempt, make_partitions, position, settle, settle_with},
};

fn attempts(sale: SaleId, users: &[UserId]) -> Vec<Attempt> {
    users.iter().map(|user| attempt(sale, *user)).collect()
}

fn count(outcomes: &[Outcome], wanted: Outcome) -> usize {
    outcomes
        .iter()
        .filter(|outcome| **outcome == wanted)
        .count()
}

async fn offset(ledger: &dyn Ledger, partition: i32) -> i64 {
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

pub async fn a_worker_with_a_stale_offset_is_fenced_out(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(3).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    settle(&*ledger, 0, 0, &attempts(sale, &users[..1]))
        .await
        .unwrap();
    for stale in [0, 2, 7] {
        let fenced = settle(&*ledger, 0, stale, &attempts(sale, &users[1..])).await;
        assert!(matches!(fenced, Err(SettleError::Fenced)), "{fenced:?}");
    }
    let unknown = settle(&*ledger, 9, 0, &[]).await;
    assert!(matches!(unknown, Err(SettleError::Fenced)));
    assert_eq!(bed.attempts().await, 1);
}

pub async fn of_two_workers_at_one_offset_one_is_fenced_out(bed: &impl TestBed) {
    let users = bed.shoppers(10).await;
    let sale = bed.sale(10).await;
    make_partitions(&*bed.ledger().await, 1).await;
    let answers = join_all(users.iter().map(|user| async move {
        settle(&*bed.ledger().await, 0, 0, &[attempt(sale, *user)]).await
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(
        answers
            .iter()
            .filter(|answer| matches!(answer, Err(SettleError::Fenced)))
            .count(),
        9
    );
    assert_eq!(bed.orders().await, 1);
}

pub async fn what_cannot_be_settled_leaves_nothing_until_it_is_buried(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let good = attempts(sale, &users);
    let (mut no_user, mut no_sale, mut no_product) = (good[0], good[0], good[0]);
    (no_user.id, no_user.user) = (AttemptId::generate(), UserId::new(4711).unwrap());
    (no_sale.id, no_sale.sale) = (AttemptId::generate(), SaleId::new(4711).unwrap());
    (no_product.id, no_product.product) = (AttemptId::generate(), ProductId::new(4711).unwrap());
    let batch = [good[0], no_user, no_sale, good[1], no_product];

    let Err(SettleError::Unsettleable(rejected)) = settle(&*ledger, 0, 0, &batch).await else {
        panic!("it was settled");
    };
    let bad: Vec<AttemptId> = rejected.iter().map(|rejection| rejection.attempt).collect();
    assert_eq!(bad, [no_sale.id, no_product.id]);
    assert_eq!(offset(&*ledger, 0).await, 0);
    assert_eq!(bed.orders().await + bed.attempts().await, 0);

    let outcomes = settle_with(&*ledger, 0, 0, &batch, &rejected)
        .await
        .unwrap();
    assert_eq!(
        outcomes,
        [
            Outcome::Ordered,
            Outcome::NoAccount,
            Outcome::Rejected,
            Outcome::Ordered,
            Outcome::Rejected
        ]
    );
    assert_eq!(bed.attempts().await, 5);
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

/// An attempt of the first shopper at a moment.
fn attempt_at(sale: SaleId, user: UserId, at: DateTime<Utc>) -> Attempt {
    Attempt {
        at,
        ..attempt(sale, user)
    }
}

pub async fn who_was_let_in_before_a_sale_was_shortened_gets_an_order(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(5).await;
    let now = SystemClock.now();
    let hours = TimeDelta::hours;
    let sale = bed.sale_at(5, now - hours(3), now + hours(3)).await;
    make_partitions(&*ledger, 1).await;
    // Longer to both sides, then shorter than ever; by hand, in two steps and in one.
    for (start, end) in [(-9, 3), (-9, 9), (-1, 1)] {
        let set = format!(
            "UPDATE flash_sales SET start_time = '{}', end_time = '{}' WHERE id = {sale}",
            bed.instant(now + hours(start)),
            bed.instant(now + hours(end))
        );
        bed.execute(&set).await.unwrap();
    }
    let batch: Vec<_> = [-10, -8, 0, 8, 10]
        .into_iter()
        .zip(&users)
        .map(|(at, user)| attempt_at(sale, *user, now + hours(at)))
        .collect();
    let Err(SettleError::Unsettleable(rejected)) = settle(&*ledger, 0, 0, &batch).await else {
        panic!("it was settled");
    };
    let found: Vec<_> = rejected.iter().map(|found| found.attempt).collect();
    assert_eq!(found, [batch[0].id, batch[4].id]);
    let outcomes = settle_with(&*ledger, 0, 0, &batch, &rejected).await;
    let (ordered, not) = (Outcome::Ordered, Outcome::Rejected);
    assert_eq!(outcomes.unwrap(), [not, ordered, ordered, ordered, not]);
}

pub async fn a_standing_order_is_the_answer_whatever_the_time_of_a_record(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let first = attempt(sale, users[0]);
    settle(&*ledger, 0, 0, &[first]).await.unwrap();
    let ago = SystemClock.now() - TimeDelta::days(90);
    let again = [attempt_at(sale, users[0], ago), first];
    let outcomes = settle(&*ledger, 0, 1, &again).await.unwrap();
    let by = first.id;
    assert_eq!(outcomes, [Outcome::AlreadyOrdered { by }, Outcome::Ordered]);
    // Without an order the time counts.
    let other = [attempt_at(sale, users[1], ago)];
    let refused = settle(&*ledger, 0, 3, &other).await;
    assert!(
        matches!(refused, Err(SettleError::Unsettleable(_))),
        "{refused:?}"
    );
    assert_eq!(bed.orders().await, 1);
}

pub async fn an_order_that_was_taken_over_is_the_answer_whatever_the_time_of_its_record(
    bed: &impl SqlBed,
) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let ago = SystemClock.now() - TimeDelta::days(90);
    let record = attempt_at(sale, users[0], ago);
    bed.order(sale, sale.value(), users[0], record.id, "SUCCESS")
        .await
        .unwrap();
    let outcomes = settle(&*ledger, 0, 0, &[record]).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Ordered]);
}

pub async fn where_windows_are_forgotten_every_time_is_taken_and_no_terms_change(
    bed: &impl TestBed,
) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let ago = SystemClock.now() - TimeDelta::days(90);
    let batches = [[attempt_at(sale, users[0], ago)], [attempt(sale, users[1])]];
    let refused = settle(&*ledger, 0, 0, &batches[0]).await;
    assert!(
        matches!(refused, Err(SettleError::Unsettleable(_))),
        "{refused:?}"
    );
    let terms = ledger.snapshot(sale).await.unwrap().unwrap().terms();
    for (from, batch) in (0..).zip(&batches) {
        ledger.forget_admission_windows().await.unwrap();
        let outcomes = settle(&*ledger, 0, from, batch).await;
        assert_eq!(outcomes.unwrap(), [Outcome::Ordered]);
    }
    assert_eq!(ledger.snapshot(sale).await.unwrap().unwrap().terms(), terms);
}

pub async fn of_a_sale_without_a_history_every_time_is_taken(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    ledger.forget_admission_windows().await.unwrap();
    let ago = SystemClock.now() - TimeDelta::days(90);
    let outcomes = settle(&*ledger, 0, 0, &[attempt_at(sale, users[0], ago)]).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Ordered]);
    // A change begins none: what it was before stays unknown.
    let end = bed.instant(SystemClock.now() + TimeDelta::days(1));
    let longer = format!("UPDATE flash_sales SET end_time = '{end}' WHERE id = {sale}");
    bed.execute(&longer).await.unwrap();
    let outcomes = settle(&*ledger, 0, 1, &[attempt_at(sale, users[1], ago)]).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Ordered]);
}

pub async fn a_batch_of_garbage_only_moves_the_offset(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let batch = SettleBatch {
        position: position(0),
        from: Offset(0),
        to: Offset(40),
        last: None,
        attempts: Vec::new(),
        rejected: Vec::new(),
        reached: None,
    };
    assert_eq!(ledger.settle(&[batch]).await.unwrap(), [[]]);
    assert_eq!(offset(&*ledger, 0).await, 40);
    assert!(ledger.settle(&[]).await.unwrap().is_empty());
}

/// Records of a partition from its beginning on.
fn first_of(partition: i32, attempts: &[Attempt]) -> SettleBatch {
    SettleBatch {
        position: position(partition),
        from: Offset(0),
        to: Offset(i64::try_from(attempts.len()).unwrap()),
        last: attempts.last().map(|attempt| attempt.id),
        attempts: attempts.to_vec(),
        rejected: Vec::new(),
        reached: None,
    }
}

pub async fn batches_of_several_partitions_are_settled_together(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(3).await;
    let (sale, other) = (bed.sale(2).await, bed.sale(1).await);
    make_partitions(&*ledger, 3).await;

    // The first shopper is in two partitions: by hand, or from before there were more partitions.
    let first = [attempt(sale, users[0]), attempt(other, users[1])];
    let second = [
        attempt(sale, users[0]),
        attempt(sale, users[1]),
        attempt(sale, users[2]),
    ];
    let batches = [first_of(0, &first), first_of(2, &second), first_of(1, &[])];
    let settled = ledger.settle(&batches).await.unwrap();
    let outcomes: Vec<Vec<Outcome>> = settled
        .iter()
        .map(|of| of.iter().map(|settlement| settlement.outcome).collect())
        .collect();
    assert_eq!(
        outcomes,
        [
            vec![Outcome::Ordered, Outcome::Ordered],
            vec![
                Outcome::AlreadyOrdered { by: first[0].id },
                Outcome::Ordered,
                Outcome::SoldOut
            ],
            vec![]
        ]
    );
    for (settled, asked) in settled.iter().zip([&first[..], &second[..], &[]]) {
        let attempts = settled.iter().map(|settlement| settlement.attempt);
        assert!(attempts.eq(asked.iter().copied()), "one each, in order");
    }
    for (partition, end) in [(0, 2), (1, 0), (2, 3)] {
        assert_eq!(offset(&*ledger, partition).await, end);
    }
    assert_eq!((bed.orders().await, bed.attempts().await), (3, 5));
    bed.check_promises().await;
}

pub async fn of_batches_settled_together_all_stand_or_none(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(9).await;
    make_partitions(&*ledger, 2).await;
    let good = first_of(0, &[attempt(sale, users[0])]);

    let mut fenced = first_of(1, &[attempt(sale, users[1])]);
    fenced.from = Offset(7);
    for together in [
        [good.clone(), fenced.clone()],
        [fenced, good.clone()],
        // The same partition twice: the second one would have to begin where the first ends.
        [good.clone(), good.clone()],
    ] {
        let refused = ledger.settle(&together).await.unwrap_err();
        assert!(matches!(refused, SettleError::Fenced), "{refused}");
    }

    let mut stranger = attempt(sale, users[1]);
    stranger.product = ProductId::new(999_999).unwrap();
    let mut unsettleable = first_of(1, &[attempt(sale, users[1]), stranger]);
    let together = [good.clone(), unsettleable.clone()];
    let SettleError::Unsettleable(rejected) = ledger.settle(&together).await.unwrap_err() else {
        panic!("not about the stranger");
    };
    assert_eq!(rejected[0].attempt, stranger.id);
    assert_eq!((bed.orders().await, bed.attempts().await), (0, 0));
    assert_eq!(offset(&*ledger, 0).await, 0);

    unsettleable.rejected = rejected;
    let settled = ledger.settle(&[good, unsettleable]).await.unwrap().concat();
    let outcomes: Vec<_> = settled
        .iter()
        .map(|settlement| settlement.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Ordered, Outcome::Ordered, Outcome::Rejected]
    );
    assert_eq!((bed.orders().await, bed.attempts().await), (2, 3));
    bed.check_promises().await;
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

pub async fn a_partition_is_repositioned_only_from_where_it_stands(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    assert_eq!(
        ledger
            .seek(&position(0), Offset(3), Offset(9))
            .await
            .unwrap(),
        SeekOutcome::Fenced
    );
    assert_eq!(
        ledger
            .seek(&position(0), Offset(0), Offset(9))
            .await
            .unwrap(),
        SeekOutcome::Moved
    );
    assert_eq!(offset(&*ledger, 0).await, 9);
}

pub async fn batches_over_several_sales_in_any_order_do_not_deadlock(bed: &impl TestBed) {
    let users = bed.shoppers(30).await;
    let sales = [bed.sale(20).await, bed.sale(20).await, bed.sale(20).await];
    make_partitions(&*bed.ledger().await, 6).await;
    let workers = (0..6)
        .zip(users.chunks(5))
        .map(|(partition, users)| async move {
            let ledger = bed.ledger().await;
            let mut sales = sales.to_vec();
            sales.rotate_left(usize::try_from(partition).unwrap() % 3);
            for (from, user) in (0..).step_by(3).zip(users) {
                let batch: Vec<Attempt> = sales.iter().map(|sale| attempt(*sale, *user)).collect();
                settle(&*ledger, partition, from, &batch).await.unwrap();
            }
        });
    join_all(workers).await;
    assert_eq!(bed.orders().await, 60);
}
