//! What `/health` and `/health/ready` say while servers are away, as probes of an orchestrator ask for it.

use std::time::Duration;

use crate::support::{
    kafka,
    postgres::TestDatabase,
    postgres_server::PostgresServer,
    redis::{RedisOptions, RedisServer},
    system::{Servers, System},
    wait_until,
};

/// How long a node may take to notice.
const NOTICED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_node_that_may_be_ready_without_the_ledger_sells_on_while_it_is_away() {
    let mut postgres = PostgresServer::start().await;
    let redis = RedisServer::start(RedisOptions::default());
    let config = redis.config(Duration::from_secs(2));
    let database = TestDatabase::create_on(postgres.config("shop")).await;
    let system = Servers::of(database, Some(redis), config, kafka::config()).await;
    let strict = system.serve().await;
    let lenient = system.serve_as(&[("READY_WITHOUT_LEDGER", "true")]).await;
    let worker = system.work().await;
    let (sale, _) = system.sale(5).await;
    for api in [&strict, &lenient] {
        api.wait_until_open(&system, sale).await;
    }
    let shoppers = system.shoppers(2).await;
    // Both accounts are in the memory of the node.
    assert_eq!(lenient.attempt(sale, &shoppers[0]).await.0, 200);
    lenient.get("/api/orders/results", Some(&shoppers[1])).await;

    postgres.kill();
    wait_until("one node says not ready", NOTICED, || async {
        strict.get("/health/ready", None).await.0 == 503
    })
    .await;
    let (status, body) = lenient.get("/health/ready", None).await;
    assert_eq!((status, &body["status"]), (200, &"ready".into()), "{body}");
    assert_eq!(body["dependencies"]["ledger"], "down", "{body}");
    assert_eq!(lenient.get("/health", None).await.0, 200);
    assert_eq!(lenient.attempt(sale, &shoppers[1]).await.0, 200);

    postgres.restart().await;
    wait_until("the order stands", Duration::from_secs(30), || async {
        system.balance(sale).await.orders == 2
    })
    .await;
    system.check_promises(sale).await;
    drop(worker);
}
