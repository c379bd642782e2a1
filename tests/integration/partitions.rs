//! Partitions that are added to the topic while everything runs, and a topic that comes back with fewer.

use std::time::Duration;

use chrono::DateTime;
use flashsale::{
    engine::kafka::KafkaLog,
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, AttemptLog, LogEnds, Partition},
};
use futures::future::join_all;

use crate::support::{
    api::{Api, Shopper},
    kafka::{self, Topic},
    system::{Servers, System},
    wait_until,
};

/// Until producers use new partitions: they know them for five seconds before they do.
const USED_WITHIN: Duration = Duration::from_secs(12);

fn attempt(user: i64) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: UserId::new(user).unwrap(),
        at: DateTime::UNIX_EPOCH,
    }
}

async fn add_partitions(topic: &Topic, count: i32) {
    let plain = kafka::plain(&topic.config);
    let (_, port) = plain[0].rsplit_once(':').unwrap();
    kafka::add_partitions(port.parse().unwrap(), &topic.config.topic, count).await;
}

/// Records in partitions from a number on.
async fn records_from(topic: &Topic, first: usize) -> i64 {
    kafka::ends(&topic.config).await.iter().skip(first).sum()
}

/// Shoppers press, a few at a time, until somebody's attempt is in one of the new partitions. Who pressed.
async fn press_until_new_partitions_are_used<'a>(
    system: &Servers,
    api: &Api,
    sale: i64,
    shoppers: &'a [Shopper],
) -> &'a [Shopper] {
    let deadline = tokio::time::Instant::now() + USED_WITHIN;
    let mut pressed = 0;
    while records_from(&system.topic, 3).await == 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "no new partition is used"
        );
        for shopper in &shoppers[pressed..pressed + 2] {
            assert_eq!(api.attempt(sale, shopper).await.0, 200);
        }
        pressed += 2;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    &shoppers[..pressed]
}

#[tokio::test]
async fn new_partitions_are_read_and_used_within_seconds() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(500).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(300).await;
    add_partitions(&system.topic, 6).await;
    wait_until(
        "a worker has all partitions",
        Duration::from_secs(6),
        || async {
            let owned = "SELECT count(*) FROM consumer_partitions WHERE owner IS NOT NULL";
            system.number(owned).await == 6
        },
    )
    .await;
    let first = press_until_new_partitions_are_used(&system, &api, sale, &shoppers).await;
    let rest = &shoppers[first.len()..];
    let presses = join_all(rest.iter().map(|shopper| api.attempt(sale, shopper))).await;
    assert!(presses.iter().all(|(status, _)| *status == 200));
    // The relay would look into them after a second, and append them again.
    wait_until("everybody has a result", Duration::from_secs(1), || async {
        system.balance(sale).await.orders == 300
    })
    .await;
    assert_eq!(
        api.result(product, &shoppers[299]).await.as_deref(),
        Some("SUCCESS")
    );
    assert_eq!(system.log_end().await, 300, "each attempt is logged once");
    assert!(records_from(&system.topic, 3).await > 60);
    assert_eq!(system.check_promises(sale).await.orders, 300);
    drop(worker);
}

#[tokio::test]
async fn a_rebuild_waits_for_partitions_that_were_added_while_the_worker_slept() {
    const STOCK: u32 = 150;
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(STOCK).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(500).await;

    // What the worker knows of the log is old when it wakes: three partitions, and an emptied gate.
    worker.pause();
    add_partitions(&system.topic, 6).await;
    let (early, late) = shoppers.split_at(140);
    let first = press_until_new_partitions_are_used(&system, &api, sale, early).await;
    for shopper in &early[first.len()..] {
        assert_eq!(api.attempt(sale, shopper).await.0, 200);
    }
    assert!(records_from(&system.topic, 3).await > 10);
    system.redis.as_ref().unwrap().flushall();
    worker.resume();

    // They come as soon as the sale is open, and want everything that is left.
    wait_until("all units are gone", Duration::from_secs(30), || async {
        let answers = late.iter().map(|shopper| api.attempt(sale, shopper));
        join_all(answers)
            .await
            .iter()
            .any(|(status, _)| *status == 409)
    })
    .await;
    let balance = system.check_promises(sale).await;
    assert_eq!(balance.orders, i64::from(STOCK));
    let buyers = system
        .database
        .query(&format!(
            "SELECT user_id FROM orders WHERE flash_sale_id = {sale}"
        ))
        .await;
    let buyers: Vec<i64> = buyers.iter().map(|row| row.get(0)).collect();
    let lost = early.iter().filter(|shopper| !buyers.contains(&shopper.id));
    assert_eq!(
        lost.count(),
        0,
        "accepted before the gate was emptied, and sold to others"
    );
    let (clean, report) = system.run(&["audit"]).outcome().await;
    assert!(clean, "{report}");
}

#[tokio::test]
async fn the_ends_of_the_log_are_those_of_all_partitions_that_exist_now() {
    let topic = Topic::create().await;
    let log = KafkaLog::connect(&topic.config).await.unwrap();
    assert_eq!((log.partitions(), log.ends().await.unwrap().len()), (3, 3));
    add_partitions(&topic, 5).await;
    let ends = log.ends().await.unwrap();
    assert_eq!(ends.len(), 5, "{ends:?}");
    assert_eq!(log.partitions(), 5);

    // Attempts of 40 shoppers keep to the old partitions for now.
    let attempts: Vec<_> = (1..=40).map(attempt).collect();
    assert!(log.append(&attempts).await.iter().all(Result::is_ok));
    let ends = log.ends().await.unwrap();
    assert_eq!(ends[&Partition(3)].0 + ends[&Partition(4)].0, 0, "{ends:?}");
    wait_until("new partitions are used", USED_WITHIN, || async {
        log.append(&attempts).await;
        log.ends().await.is_ok_and(|ends| ends[&Partition(4)].0 > 0)
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_comes_back_with_fewer_partitions_is_used_as_it_is() {
    let mut topic = Topic::create().await;
    add_partitions(&topic, 6).await;
    let log = KafkaLog::connect(&topic.config).await.unwrap();
    assert_eq!(log.partitions(), 6);
    topic.config.partitions = 2;
    topic.recreate().await;
    wait_until(
        "the log has two partitions",
        Duration::from_secs(15),
        || async { log.partitions() == 2 },
    )
    .await;
    let attempts: Vec<_> = (1..=40).map(attempt).collect();
    wait_until(
        "all partitions can be written",
        Duration::from_secs(5),
        || async { log.append(&attempts).await.iter().all(Result::is_ok) },
    )
    .await;
    assert_eq!(log.ends().await.unwrap().len(), 2);
}
