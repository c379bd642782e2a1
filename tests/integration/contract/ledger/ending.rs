//! Orders that end: deleted by an operator, here by a statement written by hand.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::{Clock, SystemClock},
    ids::UserId,
    port::{Attempt, EndedOrder, Holder, Outcome},
};

use super::{
    TestBed,
    bed::{attempt, make_partitions, settle},
};

pub async fn an_ended_order_is_listed_until_the_gate_has_taken_it_out(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(ledger.as_ref(), 1).await;
    let orders = [attempt(sale, users[0]), attempt(sale, users[1])];
    settle(ledger.as_ref(), 0, 0, &orders).await.unwrap();
    assert_eq!(ledger.ended_orders(&[sale], 10).await.unwrap(), []);
    bed.end_order(sale, users[0]).await;
    let ended = EndedOrder {
        sale,
        holder: Holder {
            user: users[0],
            attempt: orders[0].id,
        },
    };
    for _ in 0..2 {
        assert_eq!(ledger.ended_orders(&[sale], 10).await.unwrap(), [ended]);
    }
    let snapshot = ledger.snapshot(sale).await.unwrap().unwrap();
    assert_eq!((snapshot.remaining, snapshot.holders.len()), (4, 1));
    ledger.note_ended(&[ended]).await.unwrap();
    ledger.note_ended(&[ended]).await.unwrap();
    assert_eq!(ledger.ended_orders(&[sale], 10).await.unwrap(), []);
}

pub async fn an_attempt_whose_order_ended_is_answered_as_released(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    make_partitions(ledger.as_ref(), 2).await;
    let order = attempt(sale, users[0]);
    settle(ledger.as_ref(), 0, 0, &[order]).await.unwrap();
    bed.end_order(sale, users[0]).await;
    // The same record once more: no second order comes of it, and no unit goes.
    for (partition, from) in [(0, 1), (1, 0), (0, 2)] {
        let settled = settle(ledger.as_ref(), partition, from, &[order]).await;
        assert_eq!(settled.unwrap(), [Outcome::Released]);
    }
    let outcomes = ledger.outcomes(&[order.id]).await.unwrap();
    assert_eq!(outcomes[&order.id], Outcome::Released);
    assert_eq!(bed.orders().await, 0);
    let snapshot = ledger.snapshot(sale).await.unwrap().unwrap();
    assert_eq!(snapshot.remaining, 1);
}

pub async fn a_shopper_whose_order_ended_buys_again(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    make_partitions(ledger.as_ref(), 1).await;
    let (first, second) = (attempt(sale, users[0]), attempt(sale, users[0]));
    settle(ledger.as_ref(), 0, 0, &[first]).await.unwrap();
    bed.end_order(sale, users[0]).await;
    let settled = settle(ledger.as_ref(), 0, 1, &[first, second]).await;
    assert_eq!(settled.unwrap(), [Outcome::Released, Outcome::Ordered]);
    let outcomes = ledger.outcomes(&[first.id, second.id]).await.unwrap();
    assert_eq!(
        (outcomes[&first.id], outcomes[&second.id]),
        (Outcome::Released, Outcome::Ordered)
    );
    // The second one can end as well.
    bed.end_order(sale, users[0]).await;
    let ended = ledger.ended_orders(&[sale], 10).await.unwrap();
    let attempts: BTreeSet<_> = ended.iter().map(|order| order.holder.attempt).collect();
    assert_eq!(attempts, BTreeSet::from([first.id, second.id]));
}

pub async fn an_attempt_that_lost_to_an_order_that_ended_got_nothing(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(3).await;
    make_partitions(ledger.as_ref(), 1).await;
    let (first, second, third) = (
        attempt(sale, users[0]),
        attempt(sale, users[0]),
        attempt(sale, users[0]),
    );
    let settled = settle(ledger.as_ref(), 0, 0, &[first, second]).await;
    let by = first.id;
    let expected = [Outcome::Ordered, Outcome::AlreadyOrdered { by }];
    assert_eq!(settled.unwrap(), expected);
    bed.end_order(sale, users[0]).await;
    // It is no order's shadow any more, and becomes none itself.
    let again = settle(ledger.as_ref(), 0, 2, &[second]).await;
    assert_eq!(again.unwrap(), [Outcome::SoldOut]);
    let outcomes = ledger.outcomes(&[second.id]).await.unwrap();
    assert_eq!(outcomes[&second.id], Outcome::SoldOut);
    let settled = settle(ledger.as_ref(), 0, 3, &[third]).await;
    assert_eq!(settled.unwrap(), [Outcome::Ordered]);
    let again = settle(ledger.as_ref(), 0, 4, &[second]).await;
    let by = third.id;
    assert_eq!(again.unwrap(), [Outcome::AlreadyOrdered { by }]);
}

pub async fn ended_orders_are_listed_sale_by_sale_up_to_the_limit(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(6).await;
    let (sale, other) = (bed.sale(9).await, bed.sale(9).await);
    make_partitions(ledger.as_ref(), 1).await;
    let of = |sale| move |user: &flashsale::ids::UserId| attempt(sale, *user);
    let orders: Vec<_> = users
        .iter()
        .map(of(sale))
        .chain(users[..2].iter().map(of(other)))
        .collect();
    settle(ledger.as_ref(), 0, 0, &orders).await.unwrap();
    for user in &users {
        bed.end_order(sale, *user).await;
    }
    bed.end_order(other, users[0]).await;
    let count = |listed: &[EndedOrder], sale| listed.iter().filter(|it| it.sale == sale).count();
    let listed = ledger.ended_orders(&[sale, other], 4).await.unwrap();
    assert_eq!((count(&listed, sale), count(&listed, other)), (4, 1));
    ledger.note_ended(&listed).await.unwrap();
    let listed = ledger.ended_orders(&[sale, other], 4).await.unwrap();
    assert_eq!((count(&listed, sale), count(&listed, other)), (2, 0));
    assert_eq!(ledger.ended_orders(&[other], 4).await.unwrap(), []);
    assert_eq!(ledger.ended_orders(&[], 4).await.unwrap(), []);
}

pub async fn ended_orders_of_sales_that_ended_long_ago_are_found(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(3).await;
    let (start, end) = (time(-7_200), time(-3_600));
    let (over, open) = (bed.sale_at(5, start, end).await, bed.sale(5).await);
    make_partitions(ledger.as_ref(), 1).await;
    let bought_in = |sale, at| {
        let of = move |user: &UserId| Attempt {
            at,
            ..attempt(sale, *user)
        };
        users.iter().map(of).collect::<Vec<_>>()
    };
    let old = bought_in(over, start);
    let orders = [old.clone(), bought_in(open, time(0))].concat();
    settle(ledger.as_ref(), 0, 0, &orders).await.unwrap();
    for user in &users[..2] {
        bed.end_order(over, *user).await;
        bed.end_order(open, *user).await;
    }
    let found = async |since, limit| ledger.unlisted_ended_orders(since, limit).await.unwrap();
    assert_eq!(found(end - TimeDelta::milliseconds(1), 9).await, []);
    assert_eq!(found(end, 1).await.len(), 1, "no more than asked for");
    let ended = found(end, 9).await;
    let attempts: BTreeSet<_> = ended.iter().map(|order| order.holder.attempt).collect();
    assert_eq!(attempts, old[..2].iter().map(|order| order.id).collect());
    assert!(ended.iter().all(|order| order.sale == over));
    ledger.note_ended(&ended).await.unwrap();
    assert_eq!(found(end, 9).await, []);
}

/// So many seconds from now.
fn time(seconds: i64) -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::seconds(seconds)
}
