//! `doctor` before a sale: what is well, and what it finds when something is not.

use std::time::Duration;

use flashsale::port::{ClusterFigures, NodeKind, NodeReport, NodeStatus};
use serde_json::Value;

use crate::support::{
    system::{OneProcess, Servers, System},
    wait_until,
};

/// Whether it was content, and what it said of each check: `area name` and the verdict.
async fn doctor(system: &Servers, more: &[(&str, &str)]) -> (bool, Vec<(String, String)>) {
    let process = system.run_with(&["doctor", "--json"], more);
    let content = process.end().await.success();
    let checks: Vec<Value> = serde_json::from_str(&process.answer())
        .unwrap_or_else(|error| panic!("{error}: {}", process.output()));
    let field = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let told = checks
        .iter()
        .map(|check| {
            let about = format!("{} {}", field(check, "area"), field(check, "name"));
            (about, field(check, "verdict"))
        })
        .collect();
    (content, told)
}

fn failed(told: &[(String, String)]) -> Vec<&str> {
    let failed = told.iter().filter(|(_, verdict)| verdict == "failed");
    failed.map(|(about, _)| about.as_str()).collect()
}

fn is_ok(told: &[(String, String)], about: &str) -> bool {
    let mut of_it = told.iter().filter(|(name, _)| name == about).peekable();
    of_it.peek().is_some() && of_it.all(|(_, verdict)| verdict == "ok")
}

#[tokio::test]
async fn a_system_that_is_ready_for_its_sale_is_well() {
    let system = Servers::start().await;
    let (sale, _) = system.sale(10).await;
    let (content, told) = doctor(&system, &[]).await;
    assert!(!content);
    assert_eq!(failed(&told), ["sales workers", "sales stock"]);

    let _worker = system.work().await;
    wait_until("the sale is open", Duration::from_secs(20), || async {
        system.gate_balance(sale).await.is_some()
    })
    .await;
    let (content, told) = doctor(&system, &[]).await;
    assert!(content, "{told:?}");
    for about in [
        "settings JWT_SECRET",
        "redis mode",
        "redis role",
        "redis eviction",
        "redis memory",
        "redis clock",
        "kafka partitions",
        "kafka leaders",
        "kafka retention",
        "postgresql writes",
        "postgresql migrations",
        "postgresql constraints",
        "postgresql durability",
        "postgresql connections",
        "postgresql clock",
        "sales workers",
        "sales versions",
        "sales backlog",
        "sales stock",
    ] {
        assert!(is_ok(&told, about), "{about} in {told:?}");
    }
    // One broker has one replica.
    assert!(!is_ok(&told, "kafka replicas"));

    let people = system.run(&["doctor"]);
    assert!(people.end().await.success());
    let answer = people.answer();
    assert!(answer.lines().count() == told.len(), "{answer}");
    assert!(
        answer.contains("10 of 10 units left; the gate has 10"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_would_break_a_sale_is_found() {
    let system = Servers::start().await;
    let _worker = system.work().await;
    let nobody = "127.0.0.1:1";
    for (setting, value, found) in [
        ("REDIS_PORT", "1", "redis servers"),
        ("KAFKA_BROKERS", nobody, "kafka servers"),
        ("POSTGRES_PASSWORD", "wrong", "postgresql servers"),
        (
            "KAFKA_TOPIC_FLASH_SALE_ATTEMPTS",
            "no-such-topic",
            "kafka servers",
        ),
        ("REDIS_CLUSTER_MODE", "true", "redis mode"),
        ("POSTGRES_POOL_SIZE", "5000", "postgresql connections"),
        (
            "JWT_SECRET",
            "your-secret-key-change-in-production",
            "settings JWT_SECRET",
        ),
    ] {
        let (content, told) = doctor(&system, &[(setting, value)]).await;
        assert!(
            !content && failed(&told).contains(&found),
            "{setting}: {told:?}"
        );
    }

    let redis = system.redis.as_ref().unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    system
        .sql("ALTER TABLE orders DISABLE TRIGGER orders_insert_takes_units")
        .await;
    let (content, told) = doctor(&system, &[]).await;
    assert!(!content);
    assert_eq!(failed(&told), ["redis eviction", "postgresql constraints"]);
}

#[tokio::test]
async fn processes_of_different_versions_are_told() {
    let system = Servers::start().await;
    let _worker = system.work().await;
    let versions_are = async |verdict: &str| {
        let (_, told) = doctor(&system, &[]).await;
        told.contains(&("sales versions".to_owned(), verdict.to_owned()))
    };
    let patience = Duration::from_secs(20);
    wait_until("one version runs", patience, || versions_are("ok")).await;
    let older = NodeReport {
        id: "older".to_owned(),
        kind: NodeKind::Api,
        version: "0.0.9".to_owned(),
        started_at: chrono::Utc::now(),
        status: NodeStatus::Ready,
        api: None,
        worker: None,
    };
    let gate = system.gate().await.of_ledger(system.ledger_id().await);
    wait_until("two versions run", patience, || async {
        gate.write_node(&older).await.unwrap();
        versions_are("warning").await
    })
    .await;
}

#[tokio::test]
async fn every_master_of_a_cluster_is_looked_at() {
    let system = Servers::start_on_cluster().await;
    let (_, told) = doctor(&system, &[]).await;
    assert!(
        is_ok(&told, "redis mode") && is_ok(&told, "redis cluster"),
        "{told:?}"
    );
    let masters = told.iter().filter(|(about, _)| about == "redis eviction");
    assert_eq!(masters.count(), 3);
    let (_, told) = doctor(&system, &[("REDIS_CLUSTER_MODE", "false")]).await;
    assert!(failed(&told).contains(&"redis mode"), "{told:?}");
}

#[tokio::test]
async fn a_data_file_is_looked_at_while_nobody_has_it() {
    let system = OneProcess::start().await;
    let (well, output) = system.run(&["doctor"]).outcome().await;
    assert!(well && output.contains("every page is sound"), "{output}");
    let _api = system.serve().await;
    let (well, output) = system.run(&["doctor"]).outcome().await;
    assert!(!well && output.contains("in use"), "{output}");
}
