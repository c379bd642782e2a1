//! A broker that is killed or paused under a running sale.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::support::{
    broker::Broker,
    system::{Servers, System},
    wait_until,
    wire::{Traffic, Wire},
};

#[tokio::test]
async fn while_kafka_is_down_units_go_back_and_afterwards_the_sale_goes_on() {
    let mut broker = Broker::start().await;
    let system = Servers::start_with_broker(&broker).await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(20).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(20).await;
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    assert_eq!(system.check_promises(sale).await.orders, 1);

    broker.kill();
    let mut accepted = 1;
    for shopper in &shoppers[1..10] {
        let begun = Instant::now();
        match api.attempt(sale, shopper).await {
            // The one that finds the connection broken cannot know what became of it: it stays held.
            (200, _) => accepted += 1,
            (503, body) => assert_eq!(body["code"], "unavailable", "{body}"),
            other => panic!("{other:?}"),
        }
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "it took {:?}",
            begun.elapsed()
        );
    }
    assert!(accepted <= 2, "{accepted} were accepted without a log");
    let gate = system.gate_balance(sale).await.unwrap();
    assert_eq!(
        gate.available + i64::try_from(gate.pending).unwrap(),
        19,
        "{gate:?}"
    );
    assert_eq!(i64::try_from(gate.pending).unwrap(), accepted - 1);

    broker.restart().await;
    wait_until("the sale goes on", Duration::from_secs(20), || async {
        api.attempt(sale, &shoppers[19]).await.0 == 200
    })
    .await;
    wait_until(
        "everybody who was accepted has an order",
        Duration::from_secs(30),
        || async { system.balance(sale).await.orders == accepted + 1 },
    )
    .await;
    assert_eq!(
        api.result(product, &shoppers[19]).await.as_deref(),
        Some("SUCCESS")
    );
    assert_eq!(system.check_promises(sale).await.orders, accepted + 1);
    drop(worker);
}

#[tokio::test]
async fn an_append_without_an_answer_keeps_its_unit_and_ends_as_an_order() {
    let broker = Broker::start().await;
    let system = Servers::start_with_broker(&broker).await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(40).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(21).await;
    let (late, early) = shoppers.split_last().unwrap();
    // Twenty shoppers are in all partitions: the API has its connections to the broker.
    for shopper in early {
        assert_eq!(api.attempt(sale, shopper).await.0, 200);
    }

    broker.pause();
    let begun = Instant::now();
    let (status, body) = api.attempt(sale, late).await;
    assert_eq!(
        (status, &body["data"]["status"]),
        (200, &"PENDING".into()),
        "{body}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        begun.elapsed()
    );
    assert_eq!(api.result(product, late).await, None, "not failed: unknown");
    let gate = system.gate_balance(sale).await.unwrap();
    assert_eq!(gate.available, 19, "a timeout never gives a unit back");
    broker.resume();

    wait_until(
        "the shopper has a result",
        Duration::from_secs(20),
        || async { api.result(product, late).await.as_deref() == Some("SUCCESS") },
    )
    .await;
    assert_eq!(system.check_promises(sale).await.orders, 21);
    drop(worker);
}

#[tokio::test]
async fn while_kafka_is_down_a_slow_gate_takes_all_units_back_at_once() {
    let mut broker = Broker::start().await;
    let mut system = Servers::start_with_broker(&broker).await;
    let wire = Wire::to(
        "127.0.0.1",
        system.environment["REDIS_PORT"].parse().unwrap(),
    )
    .await;
    let port = wire.port.to_string();
    system.environment.insert("REDIS_PORT".to_owned(), port);
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(100).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(100).await;

    broker.kill();
    wire.set(Traffic::Late(Duration::from_millis(300)));
    let begun = Instant::now();
    let presses = shoppers.iter().map(|shopper| api.attempt(sale, shopper));
    for answer in join_all(presses).await {
        assert_eq!(answer.0, 503, "{}", answer.1);
    }
    // One after the other they would take half a minute.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    wire.set(Traffic::Flowing);
    broker.restart().await;
    assert_eq!(system.check_promises(sale).await.orders, 0);
    drop(worker);
}
