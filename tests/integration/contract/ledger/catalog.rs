//! Sales as they are read.

use chrono::TimeDelta;
use flashsale::{
    clock::{Clock, SystemClock},
    ids::SaleId,
};

use super::{
    TestBed,
    bed::{attempt, make_partitions, settle},
};

pub async fn the_catalog_has_what_has_not_ended_and_the_last_that_has(bed: &impl TestBed) {
    let now = SystemClock.now();
    let hours = TimeDelta::hours;
    let later = bed.sale_at(1, now + hours(2), now + hours(3)).await;
    let running = bed.sale_at(7, now - hours(1), now + hours(1)).await;
    let ended = bed.sale_at(1, now - hours(5), now - hours(4)).await;
    bed.sale_at(1, now - hours(9), now - hours(8)).await;

    let listed = bed.ledger().await.sales(now).await.unwrap();
    assert_eq!(
        listed.iter().map(|sale| sale.id).collect::<Vec<_>>(),
        [ended, running, later]
    );
    let running = &listed[1];
    assert_eq!(
        (running.window.start, running.window.end),
        (now - hours(1), now + hours(1))
    );
    assert_eq!((running.initial_stock, running.remaining_stock), (7, 7));
    assert_eq!(running.product_name, format!("Thing {}", running.product));
}

pub async fn a_window_is_listed_to_the_millisecond(bed: &impl TestBed) {
    let now = SystemClock.now();
    let finer = now + TimeDelta::microseconds(789);
    bed.sale_at(1, finer, finer + TimeDelta::hours(1)).await;
    let listed = bed.ledger().await.sales(now).await.unwrap();
    assert_eq!(
        (listed[0].window.start, listed[0].window.end),
        (now, now + TimeDelta::hours(1))
    );
}

pub async fn a_snapshot_adds_up_while_orders_are_being_made(bed: &impl TestBed) {
    let (ledger, reader) = (bed.ledger().await, bed.ledger().await);
    let users = bed.shoppers(60).await;
    let sale = bed.sale(50).await;
    make_partitions(&*ledger, 1).await;
    let writing = async {
        for (from, chunk) in (0..).zip(users.chunks(1)) {
            settle(&*ledger, 0, from, &[attempt(sale, chunk[0])])
                .await
                .unwrap();
        }
    };
    let reading = async {
        let mut seen = Vec::new();
        loop {
            let snapshot = reader.snapshot(sale).await.unwrap().unwrap();
            assert_eq!(snapshot.remaining + snapshot.holders.len() as u64, 50);
            seen.push(snapshot.remaining);
            if snapshot.remaining == 0 {
                break seen;
            }
        }
    };
    let ((), seen) = tokio::join!(writing, reading);
    assert!(seen.windows(2).all(|pair| pair[0] >= pair[1]));
}

pub async fn an_unknown_sale_has_no_snapshot(bed: &impl TestBed) {
    assert!(
        bed.ledger()
            .await
            .snapshot(SaleId::new(987_654).unwrap())
            .await
            .unwrap()
            .is_none()
    );
}
