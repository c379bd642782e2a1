//! Settling of records whose time their sale's window did not have, or has no more.

use chrono::TimeDelta;
use flashsale::{
    clock::{Clock, SystemClock},
    port::{Outcome, SettleError},
};

use super::{
    TestBed,
    bed::{SqlBed, attempt, attempt_at, make_partitions, settle, settle_with},
};

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
