//! Settling of batches: their offsets, workers that are fenced out, several partitions in one transaction.

use flashsale::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, Offset, Outcome, SeekOutcome, SettleBatch, SettleError},
};
use futures::future::join_all;

use super::{
    TestBed,
    bed::{attempt, make_partitions, position, settle, settle_with},
    settling::{attempts, offset},
};

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

pub async fn a_batch_of_garbage_only_moves_the_offset(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let batch = SettleBatch {
        position: position(0),
        from: Offset(0),
        to: Offset(40),
        last: None,
        attempts: Vec::new(),
        offsets: Vec::new(),
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
        offsets: Vec::new(),
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
