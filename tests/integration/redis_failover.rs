//! A primary that gives its role to a replica, with and without cut connections, under a running sale.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use flashsale::{config::Secret, engine::redis::RedisGate};

use crate::support::{
    api::{Api, Shopper},
    kafka,
    postgres::TestDatabase,
    redis::RedisServer,
    redis_topology::{Certificates, Sentinels, pair, pair_over_tls, wait_for},
    rush::{Known, Rush},
    system::{Servers, System},
    wait_until,
    wire::Wire,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Within which everything is normal again, without an operator.
const BACK: Duration = Duration::from_secs(10);

/// Presses until somebody is accepted; refusals must be certain. Returns how many were accepted.
async fn press_until_accepted(
    api: &Api,
    sale: i64,
    shoppers: &mut impl Iterator<Item = Shopper>,
    in_doubt: bool,
) {
    let begun = Instant::now();
    loop {
        let shopper = shoppers.next().expect("a shopper is left");
        match api.attempt(sale, &shopper).await {
            (200, _) => return,
            (503, body) => {
                let code = body["code"].as_str().unwrap();
                let certain = ["unavailable", "sale_preparing"].contains(&code);
                assert!(certain || (in_doubt && code == "outcome_unknown"), "{body}");
            }
            other => panic!("{other:?}"),
        }
        assert!(
            begun.elapsed() < BACK,
            "nobody was accepted within {BACK:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn after_a_failover_that_cuts_no_connection_the_new_primary_is_found() {
    let (old, new) = pair();
    let wire = Wire::to("127.0.0.1", old.port()).await;
    let mut config = old.config(COMMAND_TIMEOUT);
    config.port = wire.port;
    let system = Servers::of(TestDatabase::create().await, None, config, kafka::config()).await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(500).await;
    api.wait_until_open(&system, sale).await;
    let mut shoppers = system.shoppers(400).await.into_iter();
    for shopper in shoppers.by_ref().take(10) {
        assert_eq!(api.attempt(sale, &shopper).await.0, 200);
    }

    // The roles change first; for a while the address leads to the old primary, which answers and refuses to write.
    assert_eq!(new.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    let port = new.port().to_string();
    assert_eq!(old.cli(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    for shopper in shoppers.by_ref().take(20) {
        let (status, body) = api.attempt(sale, &shopper).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (503, Some("unavailable")),
            "{body}"
        );
    }
    wait_until("readiness says so", Duration::from_secs(3), || async {
        api.get("/health/ready", None).await.0 == 503
    })
    .await;

    wire.lead_to(new.port());
    let moved = Instant::now();
    press_until_accepted(&api, sale, &mut shoppers, false).await;
    eprintln!("accepted {:?} after the address moved", moved.elapsed());
    wait_until("it is ready again", BACK, || async {
        api.get("/health/ready", None).await.0 == 200
    })
    .await;
    let balance = system.check_promises(sale).await;
    assert_eq!(balance.orders, 11);
}

/// 1,000 shoppers press for 300 units on a primary that is killed after the first hundred of them.
async fn a_sale_whose_primary_is_killed(mut old: RedisServer, new: RedisServer) {
    let sentinels = Sentinels::start(&old);
    let config = sentinels.config(&old, COMMAND_TIMEOUT);
    let system = Servers::of(TestDatabase::create().await, None, config, kafka::config()).await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(300).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(1_000).await;
    let known = Known::default();
    let watched = Known::clone(&known);
    let killing = tokio::task::spawn_blocking(move || {
        wait_for("a hundred are accepted", || {
            watched.load(Ordering::Relaxed) >= 100
        });
        old.kill();
        wait_for("the replica is elected", || new.is_primary());
        (old, new, Instant::now())
    });
    let rush = Rush::run(&api, sale, shoppers, known).await;
    let (_old, _new, elected) = killing.await.unwrap();
    eprintln!(
        "nobody was accepted for {:?}; {} refusals, {} in doubt",
        rush.longest_gap(),
        rush.refused,
        rush.in_doubt
    );
    assert!(rush.refused > 0, "nobody noticed the kill");
    let waited = rush.accepted_after(elected);
    assert!(waited < BACK, "{waited:?} after the election");
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (300, 0));
    assert_eq!((rush.accepted.len(), rush.sold_out), (300, 700));
    for (shopper, _) in rush.accepted.iter().step_by(30) {
        wait_until("the shopper is told", BACK, || async {
            api.result(product, shopper).await.as_deref() == Some("SUCCESS")
        })
        .await;
    }
    wait_until("it is ready", BACK, || async {
        api.get("/health/ready", None).await.0 == 200
    })
    .await;
}

#[tokio::test]
async fn a_thousand_shoppers_get_what_they_were_told_while_the_primary_of_sentinels_is_killed() {
    let (old, new) = pair();
    a_sale_whose_primary_is_killed(old, new).await;
}

#[tokio::test]
async fn the_same_with_tls_and_a_password_for_servers_and_sentinels() {
    let certificates = Certificates::make();
    let (primary, replica) = pair_over_tls(&certificates);
    a_sale_whose_primary_is_killed(primary, replica).await;
}

#[tokio::test]
async fn a_failover_by_sentinels_is_followed() {
    let (old, new) = pair();
    let sentinels = Sentinels::start(&old);
    let config = sentinels.config(&old, COMMAND_TIMEOUT);
    let system = Servers::of(TestDatabase::create().await, None, config, kafka::config()).await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(500).await;
    api.wait_until_open(&system, sale).await;
    let mut shoppers = system.shoppers(400).await.into_iter();
    press_until_accepted(&api, sale, &mut shoppers, false).await;
    sentinels.fail_over();
    wait_until("the replica is the primary", BACK, || async {
        new.is_primary()
    })
    .await;
    press_until_accepted(&api, sale, &mut shoppers, true).await;
    system.check_promises(sale).await;
}

#[tokio::test]
async fn sentinels_need_one_right_and_what_they_refuse_is_told_with_its_settings() {
    let (primary, _replica) = pair();
    let sentinels = Sentinels::start(&primary);
    let connect = async |password: &str| {
        let mut config = sentinels.config(&primary, COMMAND_TIMEOUT);
        if let Some(sentinel) = &mut config.sentinel {
            sentinel.username = Some("looker".to_owned());
            sentinel.password = Some(Secret::new(password));
        }
        RedisGate::connect(&config, Duration::from_mins(1)).await
    };
    sentinels.add_user("right", "+ping");
    for password in ["wrong", "right"] {
        let refused = connect(password).await.err().expect("it is refused");
        let text = refused.to_string();
        assert!(!refused.is_passing(), "{text}");
        assert!(text.contains("REDIS_SENTINEL_PASSWORD"), "{text}");
        assert!(!text.contains("REDIS_PASSWORD"), "{text}");
    }
    sentinels.add_user("right", "+sentinel|get-master-addr-by-name");
    connect("right").await.unwrap().shutdown().await;
}
