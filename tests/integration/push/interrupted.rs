//! What listeners are told after announcements were lost, and on Redis Cluster, where each sale's are in its slot.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    events::{Event, Events},
    redis::{RedisServer, cluster_subscribers},
    system::{Servers, System},
    wait_until,
};

fn subscribers(redis: &RedisServer) -> usize {
    let clients = redis.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    clients.lines().filter(|line| line.contains("sub=")).count()
}

#[tokio::test]
async fn results_of_the_time_without_a_subscription_are_told_after_it() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let redis = system.redis.as_ref().unwrap();
    let shoppers = system.shoppers(2).await;
    assert_eq!(subscribers(redis), 0, "nobody listens");
    let mut events = Events::of_orders(&api, &shoppers[0]).await;
    events.until(Event::is_ready).await;
    let second = Events::of_orders(&api, &shoppers[1]).await;
    wait_until("one subscription", Duration::from_secs(5), || async {
        subscribers(redis) == 1
    })
    .await;

    // The worker is still, so that the result comes while the right to subscribe is gone.
    worker.pause();
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    redis.cli(&["ACL", "SETUSER", "default", "-subscribe"]);
    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(subscribers(redis), 0);
    worker.resume();
    let told = events.until(|event| event.result_of(sale) == Some("SUCCESS"));
    tokio::time::timeout(Duration::from_secs(9), told)
        .await
        .expect("results are read while they are not announced");

    redis.cli(&["ACL", "SETUSER", "default", "+subscribe"]);
    wait_until("it is opened again", Duration::from_secs(10), || async {
        subscribers(redis) == 1
    })
    .await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    wait_until("and again", Duration::from_secs(10), || async {
        subscribers(redis) == 1
    })
    .await;
    drop((events, second));
    wait_until("nobody listens", Duration::from_secs(10), || async {
        subscribers(redis) == 0
    })
    .await;
    system.check_promises(sale).await;
}

#[tokio::test]
async fn nothing_is_said_of_a_sale_until_the_gate_has_it() {
    let system = Servers::start().await;
    let api = system.serve().await;
    let (sale, _) = system.sale(5).await;
    api.wait_until_known(&system, sale).await;
    let shopper = system.shoppers(1).await.remove(0);
    let mut events = Events::of_orders(&api, &shopper).await;
    let told = events.until(Event::is_ready).await;
    assert_eq!(told.last().unwrap().data, json!({"sales": []}));
    let polled = api.get("/api/orders/results", Some(&shopper)).await;
    let nothing = json!({"success": true, "data": [], "sales": []});
    assert_eq!(polled, (200, nothing));

    let _worker = system.work().await;
    let told = events.until(Event::is_ready).await;
    assert_eq!(told.last().unwrap().data, json!({"sales": [sale]}));
}

#[tokio::test]
async fn on_a_cluster_each_sale_is_announced_by_its_own_node() {
    let system = Servers::start_on_cluster().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let mut sales = Vec::new();
    for _ in 0..4 {
        let (sale, _) = system.sale(1).await;
        system.wait_until_open(sale).await;
        let path = format!("/api/flash-sales/{sale}");
        wait_until("the API has it", Duration::from_secs(5), || async {
            api.get(&path, None).await.0 == 200
        })
        .await;
        sales.push(sale);
    }
    let shoppers = system.shoppers(2).await;
    let mut winner = Events::of_orders(&api, &shoppers[0]).await;
    let mut loser = Events::of_orders(&api, &shoppers[1]).await;
    winner.until(Event::is_ready).await;
    loser.until(Event::is_ready).await;
    let channels = sales
        .iter()
        .map(|sale| format!("flashsale:{{{sale}}}:results"));
    let channels: Vec<_> = channels.collect();
    wait_until("all are followed", Duration::from_secs(10), || async {
        cluster_subscribers(&channels) >= sales.len()
    })
    .await;
    for sale in &sales {
        assert_eq!(api.attempt(*sale, &shoppers[0]).await.0, 200);
        winner
            .until(|event| event.result_of(*sale) == Some("SUCCESS"))
            .await;
        assert_eq!(api.attempt(*sale, &shoppers[1]).await.0, 409);
        loser
            .until(|event| event.result_of(*sale) == Some("FAILED"))
            .await;
    }
}
