//! A cluster whose slots move and whose masters die under a running sale.

use flashsale::{
    engine::redis::RedisGate,
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        CloseRequest, EndOrdersOutcome, GateProbe, GateReads, GateStatus, Holder, LoadStart,
        LoadStep, LoadToken, OutcomeRecording, Reservations, ReserveOutcome, SaleLoading,
        SaleTerms, SaleWindow,
    },
};
use uuid::Uuid;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use crate::support::{
    api::{Api, Shopper},
    kafka,
    postgres::TestDatabase,
    redis_topology::{OwnCluster, wait_for},
    rush::{Known, Rush},
    system::{Servers, System},
    wait_until,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
const BACK: Duration = Duration::from_secs(10);

async fn system_on(cluster: &OwnCluster) -> Servers {
    let config = cluster.config(COMMAND_TIMEOUT);
    Servers::of(TestDatabase::create().await, None, config, kafka::config()).await
}

/// Presses, 16 at a time; returns statuses and codes of the answers.
async fn press(api: &Api, sale: i64, shoppers: &[Shopper]) -> Vec<(u16, String)> {
    stream::iter(shoppers)
        .map(|shopper| async move {
            let (status, body) = api.attempt(sale, shopper).await;
            (status, body["code"].as_str().unwrap_or_default().to_owned())
        })
        .buffer_unordered(16)
        .collect()
        .await
}

async fn wait_until_accepted(api: &Api, sale: i64, shoppers: &[Shopper]) -> usize {
    let begun = Instant::now();
    for (pressed, shopper) in shoppers.iter().enumerate() {
        let (status, body) = api.attempt(sale, shopper).await;
        if status == 200 {
            eprintln!("accepted after {:?}", begun.elapsed());
            return pressed + 1;
        }
        assert_eq!(status, 503, "{body}");
        assert!(
            begun.elapsed() < BACK,
            "nobody was accepted within {BACK:?}: {body}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody was accepted");
}

#[tokio::test]
async fn a_sale_goes_on_while_its_slot_moves_and_a_master_dies() {
    let mut cluster = OwnCluster::start(1);
    let system = system_on(&cluster).await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(400).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(1_000).await;
    let (early, rest) = shoppers.split_at(100);
    let told = press(&api, sale, early).await;
    assert!(told.iter().all(|(status, _)| *status == 200), "{told:?}");
    system.check_promises(sale).await;

    // Half of the sale's keys on each node: its scripts cannot run anywhere, and that is a certain refusal.
    let slot = cluster.slot_of(sale);
    let from = cluster.owner(slot);
    let to = cluster.another_master(from);
    cluster.begin_migration(slot, from, to);
    assert_eq!(cluster.move_keys(slot, from, to, 1), 1);
    let (halfway, rest) = rest.split_at(20);
    let told = press(&api, sale, halfway).await;
    let refused = |(status, code): &(u16, String)| *status == 503 && code == "unavailable";
    assert!(told.iter().all(refused), "{told:?}");

    // All keys on the new node, which still imports: ASK. A load needs keys that are not there, which an importing node
    // refuses (TRYAGAIN), so the sale opens when the slot's move has ended.
    while cluster.move_keys(slot, from, to, 10) > 0 {}
    let (asking, rest) = rest.split_at(20);
    let told = press(&api, sale, asking).await;
    let certain = ["unavailable", "sale_preparing"];
    let refused =
        |(status, code): &(u16, String)| *status == 503 && certain.contains(&code.as_str());
    assert!(told.iter().all(refused), "{told:?}");
    cluster.end_migration(slot, from, to);
    let pressed = wait_until_accepted(&api, sale, rest).await;
    let rest = &rest[pressed..];
    wait_until("it is ready", BACK, || async {
        api.get("/health/ready", None).await.0 == 200
    })
    .await;
    let (some, rest) = rest.split_at(100);
    let told = press(&api, sale, some).await;
    assert!(told.iter().all(|(status, _)| *status == 200), "{told:?}");

    cluster.nodes[to].kill();
    // How long the cluster takes to elect is its own affair; from then on the time counts.
    wait_for("a replica is elected", || {
        cluster
            .owner_seen_by(from, slot)
            .is_some_and(|node| node != to && cluster.nodes[node].is_primary())
    });
    let pressed = wait_until_accepted(&api, sale, rest).await;
    let told = press(&api, sale, &rest[pressed..]).await;
    assert!(
        told.iter().all(|(status, _)| [200, 409].contains(status)),
        "{told:?}"
    );
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (400, 0));
}

/// The sale's slot is moved key by key after the first hundred, and its new master is killed after the second.
#[tokio::test]
async fn a_thousand_shoppers_get_what_they_were_told_while_a_slot_moves_and_its_master_is_killed() {
    let mut cluster = OwnCluster::start(1);
    let system = system_on(&cluster).await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(400).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(1_000).await;
    let known = Known::default();
    let watched = Known::clone(&known);
    let disturbing = tokio::task::spawn_blocking(move || {
        let known = |wanted| wait_for("so many know", || watched.load(Ordering::Relaxed) >= wanted);
        known(100);
        let slot = cluster.slot_of(sale);
        let from = cluster.owner(slot);
        let to = cluster.another_master(from);
        cluster.begin_migration(slot, from, to);
        while cluster.move_keys(slot, from, to, 1) > 0 {}
        cluster.end_migration(slot, from, to);
        let moved = Instant::now();
        known(watched.load(Ordering::Relaxed) + 100);
        cluster.nodes[to].kill();
        wait_for("a replica is elected", || {
            cluster
                .owner_seen_by(from, slot)
                .is_some_and(|node| node != to && cluster.nodes[node].is_primary())
        });
        (cluster, [moved, Instant::now()])
    });
    let rush = Rush::run(&api, sale, shoppers, known).await;
    let (_cluster, events) = disturbing.await.unwrap();
    eprintln!(
        "nobody was accepted for {:?}; {} refusals, {} in doubt",
        rush.longest_gap(),
        rush.refused,
        rush.in_doubt
    );
    assert!(rush.refused > 0, "nobody noticed");
    for (event, what) in events.into_iter().zip(["migration", "election"]) {
        let waited = rush.accepted_after(event);
        assert!(waited < BACK, "{waited:?} after the {what}");
    }
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (400, 0));
    assert_eq!((rush.accepted.len(), rush.sold_out), (400, 600));
    for (shopper, _) in rush.accepted.iter().step_by(40) {
        wait_until("the shopper is told", BACK, || async {
            api.result(product, shopper).await.as_deref() == Some("SUCCESS")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_is_followed_for_the_command_that_met_it() {
    let cluster = OwnCluster::start(0);
    let config = cluster.config(COMMAND_TIMEOUT);
    let gate = RedisGate::connect(&config, BACK).await.unwrap();
    let (sale, token) = (SaleId::new(7).unwrap(), LoadToken(Uuid::new_v4()));
    let now = chrono::Utc::now();
    let terms = SaleTerms {
        switch: flashsale::port::SaleSwitch::On,
        version: 1,
        window: SaleWindow {
            start: now - Duration::from_mins(1),
            end: now + Duration::from_hours(1),
        },
        total: 5,
    };
    let lease = Duration::from_secs(30);
    let holder = |user| Holder {
        user: UserId::new(user).unwrap(),
        attempt: AttemptId::generate(),
    };
    assert_eq!(
        gate.begin_load(sale, token, lease).await.unwrap(),
        LoadStart::Begun
    );
    let expires = now + Duration::from_hours(2);
    assert_eq!(
        gate.open(sale, token, terms, 5, &[], expires)
            .await
            .unwrap(),
        LoadStep::Applied
    );
    let first = holder(1);
    assert_eq!(
        gate.reserve(sale, &[first]).await.unwrap(),
        [ReserveOutcome::Reserved]
    );

    // All keys of the sale are there: a node that imports answers TRYAGAIN for those that are not.
    assert_eq!(
        gate.end_orders(sale, ProductId::new(1).unwrap(), &[holder(9)])
            .await
            .unwrap(),
        EndOrdersOutcome::TakenOut
    );

    let slot = cluster.slot_of(7);
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    cluster.begin_migration(slot, from, to);
    while cluster.move_keys(slot, from, to, 10) > 0 {}
    // Commands for the sale go to the node that imports; those for other sales at the same nodes, sent at the same time,
    // get their own answers.
    let others = (100..400).map(|other| {
        let gate = &gate;
        async move { gate.status(SaleId::new(other).unwrap()).await.unwrap() }
    });
    let asked = (0..300).map(|_| async { gate.status(sale).await.unwrap() });
    let (asked, others) = tokio::join!(
        futures::future::join_all(asked),
        futures::future::join_all(others)
    );
    // It knows the sale, and that another server opened it.
    assert!(
        asked
            .iter()
            .all(|status| *status == GateStatus::Closed { pending: 1 }),
        "{asked:?}"
    );
    assert!(
        others.iter().all(|status| *status == GateStatus::Unknown),
        "{others:?}"
    );
    cluster.end_migration(slot, from, to);
    assert_eq!(
        gate.reserve(sale, &[holder(2)]).await.unwrap(),
        [ReserveOutcome::Closed]
    );
    assert!(
        gate.close(sale, CloseRequest::IfInconsistent)
            .await
            .unwrap()
            .is_some()
    );
    let token = LoadToken(Uuid::new_v4());
    assert_eq!(
        gate.begin_load(sale, token, lease).await.unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        gate.open(sale, token, terms, 5, &[], expires)
            .await
            .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        gate.reserve(sale, &[holder(3)]).await.unwrap(),
        [ReserveOutcome::Reserved]
    );
    gate.ping().await.unwrap();
}
