//! Transactions that meet each other: who waits for whom, and who does not.

use std::time::Duration;

use flashsale::port::{
    AdminError, KeyStanding, Offset, Outcome, Partition, SaleChange, SettleBatch,
};
use futures::future::join_all;

use super::{
    super::{
        bed::{SqlBed, TestBed, attempt, make_partitions, member, position, settle},
        operator,
    },
    PostgresBed,
};
use crate::support::wait_until;

/// Waits until somebody waits for a lock in the bed's database.
async fn wait_for_a_wait(bed: &PostgresBed) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let client = bed.database.client().await;
    wait_until("somebody waits", Duration::from_secs(10), || async {
        client
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
    })
    .await;
}

#[tokio::test]
async fn a_batch_overtaken_by_another_writer_is_decided_anew() {
    let bed = PostgresBed::start().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let batch = [attempt(sale, users[0])];
    let elsewhere = format!(
        "BEGIN; INSERT INTO purchase_attempts
            (attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, topic, partition)
         VALUES ('{}', {sale}, {}, {sale}, now(), 'SOLD_OUT', 'elsewhere', 0)",
        batch[0].id, users[0]
    );
    let writer = bed.database.client().await;
    writer.batch_execute(&elsewhere).await.unwrap();
    let commit = async {
        wait_for_a_wait(&bed).await;
        writer.batch_execute("COMMIT").await.unwrap();
    };
    let (answer, ()) = tokio::join!(settle(&*ledger, 0, 0, &batch), commit);
    assert_eq!(answer.unwrap(), [Outcome::SoldOut]);
    bed.check_promises().await;
}

#[tokio::test]
async fn a_batch_under_way_does_not_hold_up_the_heartbeats_of_others() {
    let bed = PostgresBed::start().await;
    let ledger = bed.ledger().await;
    let ttl = Duration::from_mins(1);
    ledger.heartbeat(&member("a"), 3, ttl).await.unwrap();
    ledger.heartbeat(&member("b"), 3, ttl).await.unwrap();
    // Free to be taken, but the last batch of who had it is not through.
    ledger.release(&member("a"), &[Partition(0)]).await.unwrap();
    bed.client
        .batch_execute("BEGIN; UPDATE consumer_partitions SET next_offset = 1")
        .await
        .unwrap();
    let beat = tokio::time::timeout(
        Duration::from_secs(5),
        ledger.heartbeat(&member("b"), 3, ttl),
    )
    .await;
    let (leases, share) = beat.expect("it does not wait").unwrap();
    assert_eq!((leases.len(), share), (0, 1));
    bed.client.batch_execute("ROLLBACK").await.unwrap();
    let (leases, _) = ledger.heartbeat(&member("b"), 3, ttl).await.unwrap();
    assert_eq!(leases.len(), 1);
}

/// The one waits until the other is through, and then sees what it did, whichever comes first.
#[tokio::test]
async fn who_deletes_an_account_and_who_makes_its_order_do_not_miss_each_other() {
    let bed = PostgresBed::start().await;
    let shoppers = bed.shoppers(3).await;
    let sale = bed.sale(5).await;
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let by_hand = bed.database.client().await;

    // An order that is not committed yet: who deletes the account waits for it, and then may not.
    let order = format!(
        "BEGIN; INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
         VALUES (1, {sale}, {sale}, 'SUCCESS', gen_random_uuid())"
    );
    by_hand.batch_execute(&order).await.unwrap();
    let (deleted, ()) = tokio::join!(bed.execute("DELETE FROM users WHERE id = 1"), async {
        wait_for_a_wait(&bed).await;
        by_hand.batch_execute("COMMIT").await.unwrap();
    });
    let error = deleted.unwrap_err();
    assert!(error.contains("E23503"), "{error}");

    // An account that is about to be deleted holds nobody up: its order comes first, and it stays.
    by_hand
        .batch_execute("BEGIN; DELETE FROM users WHERE id = 2")
        .await
        .unwrap();
    let ordered = [attempt(sale, shoppers[1])];
    let outcomes = settle(&*ledger, 0, 0, &ordered).await.unwrap();
    assert_eq!(outcomes, [Outcome::Ordered]);
    let error = by_hand.batch_execute("COMMIT").await.unwrap_err();
    assert!(format!("{error:?}").contains("E23503"), "{error:?}");

    // An account of which it was seen that it has no orders: its attempt waits, and finds no account then.
    by_hand
        .batch_execute("BEGIN; DELETE FROM users WHERE id = 3; SET CONSTRAINTS ALL IMMEDIATE")
        .await
        .unwrap();
    let late = [attempt(sale, shoppers[2])];
    let (settled, ()) = tokio::join!(settle(&*ledger, 0, 1, &late), async {
        wait_for_a_wait(&bed).await;
        by_hand.batch_execute("COMMIT").await.unwrap();
    });
    assert_eq!(settled.unwrap(), [Outcome::NoAccount]);
    bed.check_promises().await;
    assert_eq!(bed.orders().await, 2);
}

/// Batches of partitions in whatever order, beside heartbeats: nobody waits in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_settled_together_in_any_order_do_not_deadlock() {
    const PARTITIONS: i32 = 6;
    let bed = PostgresBed::start().await;
    let shoppers = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    let ledger = bed.ledger().await;
    let member = member("1");
    ledger
        .heartbeat(&member, PARTITIONS, Duration::from_mins(1))
        .await
        .unwrap();
    let batch = |partition| SettleBatch {
        position: position(partition),
        from: Offset(0),
        to: Offset(0),
        last: None,
        attempts: vec![attempt(sale, shoppers[0])],
        offsets: Vec::new(),
        rejected: Vec::new(),
        reached: None,
    };
    let rounds = (0..12).map(|n| {
        let (ledger, member, batch) = (&ledger, &member, &batch);
        async move {
            for k in 0..15 {
                let mut batches: Vec<_> = (0..PARTITIONS).map(batch).collect();
                batches.rotate_left((n + k) % 6);
                if n % 2 == 0 {
                    batches.reverse();
                }
                if n % 4 == 3 {
                    ledger
                        .heartbeat(member, PARTITIONS, Duration::from_mins(1))
                        .await
                        .unwrap();
                } else {
                    ledger.settle(&batches).await.unwrap();
                }
            }
        }
    });
    join_all(rounds).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(bed.number(deadlocks).await, 0);
    bed.check_promises().await;
}

#[tokio::test]
async fn a_repeated_request_does_not_wait_for_the_first_one() {
    let bed = PostgresBed::start().await;
    let admin = bed.administration().await;
    let sale = operator::open_sale(admin.as_ref()).await;
    let lock = format!(
        "BEGIN; SELECT 1 FROM flash_sales WHERE id = {} FOR UPDATE",
        sale.id
    );
    bed.client.batch_execute(&lock).await.unwrap();
    let (add, entry) = (SaleChange::AddUnits(1), operator::with_key("a", 1));
    let now = operator::now();
    let again = async {
        wait_for_a_wait(&bed).await;
        let again = admin.change_sale(sale.id, &add, now, &entry).await;
        bed.client.batch_execute("ROLLBACK").await.unwrap();
        again
    };
    let first = admin.change_sale(sale.id, &add, now, &entry);
    let both = async { tokio::join!(first, again) };
    let both = tokio::time::timeout(Duration::from_secs(8), both).await;
    let (first, again) = both.expect("nobody waits for the statement's timeout");
    let running = |answer: &Result<_, AdminError>| {
        matches!(
            answer,
            Err(AdminError::KeyUsed(KeyStanding::Running { .. }))
        )
    };
    assert!(running(&again), "{again:?}");
    assert_eq!(first.unwrap().after.initial_stock, 11);
    let later = admin.change_sale(sale.id, &add, now, &entry).await;
    assert!(running(&later), "{later:?}");
}
