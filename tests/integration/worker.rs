//! Workers sharing the partitions: takeover, fair shares, hand-back, a topic that was made anew.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{
    api::Shopper,
    process::Process,
    system::{Servers, System},
    wait_until,
};

/// How many partitions each live owner holds.
async fn shares(system: &Servers) -> Vec<i64> {
    let rows = system
        .database
        .query(
            "SELECT owner, count(*) FROM consumer_partitions \
             WHERE owner IS NOT NULL AND lease_expires_at > now() GROUP BY owner ORDER BY 2 DESC",
        )
        .await;
    rows.iter().map(|row| row.get(1)).collect()
}

async fn wait_for_shares(system: &Servers, expected: &[i64], patience: Duration) {
    wait_until(&format!("shares of {expected:?}"), patience, || async {
        shares(system).await == expected
    })
    .await;
}

/// Everybody's attempts in the log, past the API: as many as there are units.
async fn a_backlog(system: &Servers, shoppers: &[Shopper], sale: i64, product: i64) {
    use flashsale::{
        engine::kafka::KafkaLog,
        ids::{AttemptId, ProductId, SaleId, UserId},
        port::{Attempt, AttemptLog},
    };

    let log = KafkaLog::connect(&system.topic.config).await.unwrap();
    let attempts: Vec<_> = shoppers
        .iter()
        .map(|shopper| Attempt {
            id: AttemptId::generate(),
            sale: SaleId::new(sale).unwrap(),
            product: ProductId::new(product).unwrap(),
            user: UserId::new(shopper.id).unwrap(),
            at: chrono::Utc::now(),
        })
        .collect();
    assert!(log.append(&attempts).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_killed_worker_s_partitions_are_taken_over_and_a_fourth_worker_gets_its_share() {
    let system = Servers::start().await;
    // Six partitions would divide better; three workers on three partitions show the same.
    let workers = [
        system.work().await,
        system.work().await,
        system.work().await,
    ];
    wait_for_shares(&system, &[1, 1, 1], Duration::from_secs(10)).await;

    workers[1].kill();
    // Its lease of 2 s runs out, and the others look every third of that.
    wait_for_shares(&system, &[2, 1], Duration::from_secs(6)).await;

    let _third = system.work().await;
    wait_for_shares(&system, &[1, 1, 1], Duration::from_secs(6)).await;
    let _fourth = system.work().await;
    // Three partitions for four: whoever has the largest id has none.
    tokio::time::sleep(Duration::from_secs(3)).await;
    wait_for_shares(&system, &[1, 1, 1], Duration::from_secs(3)).await;
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_hands_its_partitions_back_at_once() {
    let system = Servers::start().await;
    let worker = system.work().await;
    wait_for_shares(&system, &[3], Duration::from_secs(5)).await;
    worker.terminate();
    assert!(worker.end().await.success(), "{}", worker.output());
    assert_eq!(shares(&system).await, Vec::<i64>::new());
    assert!(
        worker.output().contains("handed back"),
        "{}",
        worker.output()
    );
}

#[tokio::test]
async fn a_worker_that_was_paused_beyond_its_lease_does_no_harm() {
    let system = Servers::start().await;
    let (paused, _other) = (system.work().await, system.work().await);
    let (sale, product) = system.sale(300).await;
    wait_for_shares(&system, &[2, 1], Duration::from_secs(10)).await;
    let shoppers = system.shoppers(300).await;
    a_backlog(&system, &shoppers[..100], sale, product).await;
    paused.pause();
    a_backlog(&system, &shoppers[100..200], sale, product).await;
    wait_for_shares(&system, &[3], Duration::from_secs(8)).await;
    paused.resume();
    a_backlog(&system, &shoppers[200..], sale, product).await;
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (300, 0));
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
    let system = Servers::start().await;
    let (sale, product) = system.sale(60).await;
    let shoppers = system.shoppers(60).await;
    let worker = system.work().await;
    a_backlog(&system, &shoppers[..30], sale, product).await;
    system.check_promises(sale).await;
    worker.terminate();
    assert!(worker.end().await.success());

    system.topic.recreate().await;
    // More records than the old topic had, so that its offsets are all there again, with other records.
    a_backlog(&system, &shoppers, sale, product).await;
    let worker = system.work().await;
    worker.wait_for_line("made anew").await;
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (60, 0));
}

#[tokio::test]
async fn a_topic_that_was_made_anew_while_its_worker_slept_is_read_from_its_beginning() {
    let system = Servers::start().await;
    let (sale, product) = system.sale(60).await;
    let shoppers = system.shoppers(60).await;
    let worker = system.work().await;
    a_backlog(&system, &shoppers[..30], sale, product).await;
    system.check_promises(sale).await;

    // It wakes with its reader at an offset that is there again, with another record before it.
    worker.pause();
    system.topic.recreate().await;
    a_backlog(&system, &shoppers, sale, product).await;
    worker.resume();
    worker.wait_for_line("made anew").await;
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (60, 0));
}

#[tokio::test]
async fn a_disabled_consumer_says_so_and_ends_well() {
    let none = BTreeMap::from([("ENABLE_CONSUMER".to_owned(), "false".to_owned())]);
    let worker = Process::start(&["work"], &none);
    assert!(worker.end().await.success());
    assert!(
        worker.output().contains("ENABLE_CONSUMER=false"),
        "{}",
        worker.output()
    );
}

#[tokio::test]
async fn a_worker_serves_health_and_metrics_when_told_a_port() {
    let system = Servers::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = [
        ("WORKER_HOST", "127.0.0.1"),
        ("WORKER_PORT", &port.to_string()),
    ];
    let worker = system.run_with(&["work"], &settings);
    worker.wait_for_line("partition is taken").await;
    let get = |path: &str| reqwest::get(format!("http://127.0.0.1:{port}{path}"));
    assert_eq!(get("/health").await.unwrap().status(), 200);
    assert_eq!(get("/health/ready").await.unwrap().status(), 200);
    assert!(
        get("/metrics")
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("flashsale_partitions_owned 3")
    );
}
