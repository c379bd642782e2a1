//! The overview of operators: every process with its figures, on servers and in one process, also while Redis is away.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use flashsale::port::Role;
use serde_json::Value;

use super::desk::Desk;
use crate::support::{
    api::{Api, Shopper},
    kafka,
    postgres::TestDatabase,
    redis::{RedisOptions, RedisServer},
    system::{OneProcess, Servers, System},
};

const OVERVIEW: &str = "/api/admin/overview";

async fn overview(api: &Api, system: &impl System) -> Value {
    let desk = Desk::of(api, system, Role::Auditor).await;
    let answer = desk.get("/overview").await.expect(200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.data().clone()
}

/// The ids of the nodes of a kind.
fn ids(overview: &Value, kind: &str) -> BTreeSet<String> {
    let nodes = overview["nodes"].as_array().unwrap().iter();
    nodes
        .filter(|node| node["kind"] == kind)
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits for an overview of which this is true.
async fn until(
    what: &str,
    patience: Duration,
    api: &Api,
    desk: &Desk<'_>,
    mut is_so: impl FnMut(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + patience;
    loop {
        let seen = desk.get("/overview").await.expect(200).data().clone();
        if is_so(&seen) {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "not within {patience:?}: {what}: {seen:#}\n{}",
            api.process.output()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Presses again and again for some seconds, about so many times a second, and answers how many there were a second.
async fn press_for(api: &Api, sale: i64, shopper: &Shopper, rate: u32, time: Duration) -> f64 {
    let (begun, mut pressed) = (Instant::now(), 0_u32);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    while begun.elapsed() < time {
        ticks.tick().await;
        let (status, body) = api.attempt(sale, shopper).await;
        assert_eq!(status, 200, "{body}");
        pressed += 1;
    }
    f64::from(pressed) / begun.elapsed().as_secs_f64()
}

#[tokio::test]
async fn two_api_nodes_and_two_workers_are_seen_until_they_end() {
    let system = Servers::start().await;
    let (first, second) = (system.serve().await, system.serve().await);
    let workers = [system.work().await, system.work().await];
    let desk = Desk::of(&first, &system, Role::Operator).await;
    let all = until(
        "four nodes are ready, and every partition has an owner",
        Duration::from_secs(15),
        &first,
        &desk,
        |seen| {
            let nodes = seen["nodes"].as_array().unwrap();
            let leases = seen["leases"].as_array().unwrap();
            nodes.len() == 4
                && nodes.iter().all(|node| node["status"] == "ready")
                && !leases.is_empty()
                && leases.iter().all(|lease| lease["owner"].is_string())
                && ids_of_owners(seen).len() == 2
        },
    )
    .await;
    let (apis, ids_of_workers) = (ids(&all, "api"), ids(&all, "worker"));
    assert_eq!((apis.len(), ids_of_workers.len()), (2, 2), "{all:#}");
    assert_eq!(ids_of_owners(&all), ids_of_workers);
    for server in all["servers"].as_array().unwrap() {
        assert_eq!(server["status"], "up", "{all:#}");
    }
    assert_eq!(all["deadLetters"], 0);
    for node in all["nodes"].as_array().unwrap() {
        assert!(node["ageMillis"].as_u64().unwrap() < 5_000, "{node:#}");
        assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
        let partitions = node["partitions"].as_array();
        assert_eq!(partitions.is_some(), node["kind"] == "worker", "{node:#}");
        assert_eq!(
            node["connections"].is_u64(),
            node["kind"] == "api",
            "{node:#}"
        );
    }

    // The other node is asked, so that nobody knows by chance.
    let at_second = Desk::of(&second, &system, Role::Support).await;
    let [killed, stopped] = workers;
    killed.kill();
    let left = until(
        "the killed worker is gone",
        Duration::from_secs(12),
        &second,
        &at_second,
        |seen| ids(seen, "worker").len() == 1,
    )
    .await;
    assert_eq!(ids(&left, "api"), apis);
    stopped.terminate();
    assert!(stopped.end().await.success());
    let left = overview(&second, &system).await;
    assert_eq!(ids(&left, "worker").len(), 0, "it took its report back");
    first.process.kill();
    until(
        "the killed node is gone",
        Duration::from_secs(12),
        &second,
        &at_second,
        |seen| ids(seen, "api").len() == 1,
    )
    .await;
}

fn ids_of_owners(overview: &Value) -> BTreeSet<String> {
    let leases = overview["leases"].as_array().unwrap().iter();
    leases
        .filter_map(|lease| lease["owner"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_node_that_drains_says_so_in_the_overview() {
    let system = Servers::start().await;
    let stays = system.serve().await;
    let ends = system.serve_as(&[("DRAIN_DELAY_SECS", "5")]).await;
    let desk = Desk::of(&stays, &system, Role::Admin).await;
    let patience = Duration::from_secs(10);
    until("both are seen", patience, &stays, &desk, |seen| {
        ids(seen, "api").len() == 2
    })
    .await;
    ends.process.terminate();
    // Far less than ten seconds: it says so at once.
    until(
        "one drains",
        Duration::from_secs(4),
        &stays,
        &desk,
        |seen| {
            let nodes = seen["nodes"].as_array().unwrap();
            nodes.iter().any(|node| node["status"] == "draining")
        },
    )
    .await;
    assert!(ends.process.end().await.success());
    assert_eq!(ids(&overview(&stays, &system).await, "api").len(), 1);
}

on_systems! {
    rates_are_about_right,
    only_operators_see_it,
}

async fn rates_are_about_right<S: System>(system: S) {
    let worker = system.worker().await;
    let api = system.serve().await;
    let (sale, _) = system.sale(100).await;
    api.wait_until_open(&system, sale).await;
    let desk = Desk::of(&api, &system, Role::Admin).await;
    let buyers = system.shoppers(20).await;
    let (mut orders, mut accepted) = (0, 0);
    let presses = buyers.iter().map(|buyer| api.attempt(sale, buyer));
    for (status, body) in futures::future::join_all(presses).await {
        assert_eq!(status, 200, "{body}");
    }
    until(
        "the orders are seen",
        Duration::from_secs(5),
        &api,
        &desk,
        |seen| {
            // Each second's figures are seen at least once; the presses are in at most two of them.
            orders = orders.max(seen["totals"]["ordersPerSec"].as_u64().unwrap());
            accepted = accepted.max(
                seen["totals"]["attemptsPerSec"]["accepted"]
                    .as_u64()
                    .unwrap(),
            );
            orders >= 5 && accepted >= 5
        },
    )
    .await;

    let pressing = press_for(&api, sale, &buyers[0], 50, Duration::from_secs(6));
    let looking = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        desk.get("/overview").await.expect(200).data().clone()
    };
    let (rate, seen) = tokio::join!(pressing, looking);
    let totals = &seen["totals"];
    #[allow(clippy::cast_precision_loss)]
    let held = totals["attemptsPerSec"]["alreadyHeld"].as_u64().unwrap() as f64;
    assert!(
        (held / rate - 1.0).abs() < 0.4,
        "{held} for {rate}: {seen:#}"
    );
    let [p50, p99] = ["p50", "p99"].map(|name| totals["latencyMillis"][name].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 < 5_000.0, "{p50} {p99}");
    assert!(totals["connections"].as_u64().unwrap() >= 1, "{seen:#}");
    assert_eq!(totals["lagRecords"], 0, "{seen:#}");
    until(
        "a quiet second has no latency",
        Duration::from_secs(5),
        &api,
        &desk,
        |seen| {
            seen["totals"]["latencyMillis"]["p50"].is_null()
                && seen["totals"]["attemptsPerSec"]["alreadyHeld"] == 0
        },
    )
    .await;
    system.check_promises(sale).await;
    drop(worker);
}

#[tokio::test]
async fn one_process_is_one_node_with_the_figures_of_both() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Admin).await;
    let patience = Duration::from_secs(10);
    let seen = until("it is ready and works", patience, &api, &desk, |seen| {
        seen["nodes"][0]["status"] == "ready" && seen["nodes"][0]["partitions"][0] == 0
    })
    .await;
    assert_eq!(seen["nodes"].as_array().unwrap().len(), 1, "{seen:#}");
    let node = &seen["nodes"][0];
    assert_eq!(node["kind"], "embedded");
    assert_eq!(seen["leases"][0]["owner"], node["id"], "{seen:#}");
    assert!(node["attemptsPerSec"]["accepted"].is_u64(), "{node:#}");
    assert!(node["ordersPerSec"].is_u64(), "{node:#}");
    assert_eq!(seen["deadLetters"], 0);
}

async fn only_operators_see_it<S: System>(system: S) {
    let api = system.serve().await;
    let shopper = system.shoppers(1).await.remove(0);
    let (status, body) = api.get(OVERVIEW, None).await;
    assert_eq!((status, &body["code"]), (401, &"token_missing".into()));
    for role in [Role::User, Role::Service] {
        let somebody = shopper.clone().with_role(role);
        let (status, body) = api.get(OVERVIEW, Some(&somebody)).await;
        assert_eq!((status, &body["code"]), (403, &"forbidden".into()));
        assert!(body.get("data").is_none());
    }
    for role in [Role::Admin, Role::Operator, Role::Support, Role::Auditor] {
        let somebody = shopper.clone().with_role(role);
        let (status, _) = api.get(OVERVIEW, Some(&somebody)).await;
        assert_eq!(status, 200, "{role:?}");
    }
}

#[tokio::test]
async fn the_nodes_of_a_system_on_a_cluster_are_seen() {
    let system = Servers::start_on_cluster().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let desk = Desk::of(&api, &system, Role::Admin).await;
    let patience = Duration::from_secs(10);
    until("both are seen", patience, &api, &desk, |seen| {
        ids(seen, "api").len() == 1 && ids(seen, "worker").len() == 1
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_away_the_rest_is_told_within_two_seconds() {
    let mut redis = RedisServer::start(RedisOptions::default());
    let config = redis.config(Duration::from_secs(2));
    let system = Servers::of(TestDatabase::create().await, None, config, kafka::config()).await;
    let (api, worker) = (system.serve().await, system.work().await);
    let desk = Desk::of(&api, &system, Role::Admin).await;
    let patience = Duration::from_secs(15);
    let leased = |seen: &Value| !ids_of_owners(seen).is_empty();
    until("both are seen", patience, &api, &desk, |seen| {
        seen["nodes"].as_array().unwrap().len() == 2 && leased(seen)
    })
    .await;
    // One that hangs, and then one that is gone.
    for what in ["it hangs", "it is gone"] {
        if what == "it hangs" {
            redis.pause();
        } else {
            redis.resume();
            redis.kill();
        }
        until(what, Duration::from_secs(5), &api, &desk, |seen| {
            seen["servers"][0]["status"] == "down"
        })
        .await;
        for _ in 0..5 {
            let begun = Instant::now();
            let answer = desk.get("/overview").await.expect(200);
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "{what}: {:?}",
                begun.elapsed()
            );
            let seen = answer.data();
            assert_eq!(seen["nodes"], serde_json::json!([]), "{what}: {seen:#}");
            let servers: Vec<_> = seen["servers"].as_array().unwrap().iter().collect();
            assert_eq!(servers[0]["name"], "gate");
            assert_eq!(servers[0]["status"], "down", "{what}: {seen:#}");
            assert_eq!(servers[2]["status"], "up", "{what}: {seen:#}");
            assert!(leased(seen), "{what}: {seen:#}");
            assert_eq!(seen["deadLetters"], 0, "{what}: {seen:#}");
        }
    }
    let warnings = worker.output().matches("cannot be shared").count();
    assert!(
        (1..=6).contains(&warnings),
        "{warnings} lines:\n{}",
        worker.output()
    );
    redis.restart();
    until("both are seen again", patience, &api, &desk, |seen| {
        let nodes = seen["nodes"].as_array().unwrap();
        nodes.len() == 2 && nodes.iter().all(|node| node["status"] == "ready")
    })
    .await;
}
