//! Three brokers, of which one is dead and another one hands its partitions over under load.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::Value;

use crate::support::{
    api::{Api, Shopper},
    cluster::Cluster,
    system::{Servers, System},
    wait_until,
};

const SHOPPERS: usize = 1_200;
/// Presses that begin while the leader hands over, and before and after.
const PRESSED_WITHIN: Duration = Duration::from_secs(3);
/// What replicas fetch comes so much later.
const LATE: Duration = Duration::from_millis(300);

/// What a shopper was told.
struct Told {
    shopper: Shopper,
    status: u16,
    body: Value,
}

/// Shoppers press one after the other, evenly over the time.
async fn press(api: Arc<Api>, sale: i64, shoppers: Vec<Shopper>) -> Vec<Told> {
    let apart = PRESSED_WITHIN / u32::try_from(SHOPPERS).unwrap();
    let presses = shoppers.into_iter().zip(0..).map(|(shopper, place)| {
        let api = Arc::clone(&api);
        async move {
            tokio::time::sleep(apart * place).await;
            let (status, body) = api.attempt(sale, &shopper).await;
            Told {
                shopper,
                status,
                body,
            }
        }
    });
    join_all(presses).await
}

#[tokio::test]
async fn who_is_told_unavailable_while_a_leader_moves_gets_no_order() {
    let mut cluster = Cluster::start().await;
    let system = Servers::start_with_kafka(cluster.config()).await;
    let topic = system.topic.config.topic.clone();
    cluster.wait_for_replicas(&topic, 3..=3).await;
    let (api, worker) = (Arc::new(system.serve().await), system.work().await);
    let (sale, _) = system.sale(2_000).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(SHOPPERS).await;

    // The broker that leads nothing that matters is dead; what the others replicate is late.
    let leader = cluster.leaders(&topic).await[0].0;
    let dead = if leader == 3 { 2 } else { leader + 1 };
    cluster.broker(dead).kill();
    cluster.wait_for_replicas(&topic, 2..=2).await;
    cluster.slow_replication(LATE);

    let presses = tokio::spawn(press(Arc::clone(&api), sale, shoppers));
    tokio::time::sleep(PRESSED_WITHIN / 2).await;
    cluster.broker(leader).terminate();
    let told = presses.await.unwrap();
    cluster.broker(leader).wait_for_end().await;
    cluster.normal_replication();
    cluster.start_missing().await;
    cluster.wait_for_replicas(&topic, 3..=3).await;

    let accepted = told.iter().filter(|told| told.status == 200).count();
    wait_until(
        "all that was accepted is an order",
        Duration::from_secs(40),
        || async {
            let orders = system.balance(sale).await.orders;
            orders >= i64::try_from(accepted).unwrap()
        },
    )
    .await;
    system.check_promises(sale).await;

    let buyers = system
        .database
        .query(&format!(
            "SELECT user_id FROM orders WHERE flash_sale_id = {sale}"
        ))
        .await;
    let buyers: Vec<i64> = buyers.iter().map(|row| row.get(0)).collect();
    let (mut refused, mut wrong) = (0, Vec::new());
    for told in &told {
        let has_order = buyers.contains(&told.shopper.id);
        match (told.status, told.body["code"].as_str()) {
            (200, _) => assert!(has_order, "accepted and no order: {}", told.body),
            (503, Some("unavailable")) => {
                refused += 1;
                if has_order {
                    wrong.push(told.shopper.id);
                }
            }
            (503, Some("outcome_unknown")) => {}
            other => panic!("{other:?}: {}", told.body),
        }
    }
    println!(
        "{accepted} accepted, {refused} told unavailable, {} orders",
        buyers.len()
    );
    assert!(
        wrong.is_empty(),
        "told that nothing was changed, and given an order: {wrong:?}"
    );
    drop(worker);
}
