//! `flashsale audit`: clean in the middle of a sale, and whatever was broken by hand is found, and mended.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flashsale::{
    clock::SystemClock,
    engine::kafka::KafkaLog,
    ids::SaleId,
    order::audit::{Audit, Finding},
    port::Ports,
};
use futures::future::join_all;
use serde_json::Value;

use crate::support::{
    api::{Api, Shopper},
    process::{Process, complaint},
    system::{OneProcess, Servers, System},
};

/// The exit code and the document.
async fn document(audit: Process) -> (i32, Value) {
    let code = audit.end().await.code().unwrap();
    let answer = audit.answer();
    let document = serde_json::from_str(&answer);
    (
        code,
        document.unwrap_or_else(|_| panic!("{}", audit.output())),
    )
}

async fn audit(system: &Servers, arguments: &[&str]) -> (i32, Value) {
    document(system.run(&[&["audit", "--json"], arguments].concat())).await
}

/// The kinds of findings, each with its shopper if it has one.
fn findings(document: &Value) -> BTreeSet<(String, String)> {
    let sales = document["sales"].as_array().unwrap();
    let findings = sales
        .iter()
        .flat_map(|sale| sale["findings"].as_array().unwrap());
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    findings
        .map(|finding| (text(finding, "kind"), text(finding, "userId")))
        .collect()
}

fn expected<const N: usize>(findings: [(&str, Option<&Shopper>); N]) -> BTreeSet<(String, String)> {
    let finding = |(kind, shopper): (&str, Option<&Shopper>)| {
        let user = shopper.map_or(String::new(), |shopper| shopper.id.to_string());
        (kind.to_owned(), user)
    };
    findings.map(finding).into()
}

async fn buy(api: &Api, sale: i64, shoppers: &[Shopper]) {
    let attempts = shoppers.iter().map(|shopper| api.attempt(sale, shopper));
    for (status, body) in join_all(attempts).await {
        assert!(status == 200 || status == 409, "{body}");
    }
}

/// An audit that looks once.
async fn auditor(system: &Servers) -> Audit {
    let engines = Ports {
        gate: Arc::new(system.gate().await),
        log: Arc::new(KafkaLog::connect(&system.topic.config).await.unwrap()),
        ledger: Arc::new(system.database.ledger().await),
        clock: Arc::new(SystemClock),
    };
    Audit {
        engines,
        group: "flash-sale-worker-group".to_owned(),
        looks: 1,
        pause: Duration::ZERO,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_in_the_middle_of_a_sale_is_clean() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(400).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(900).await;

    let selling = async {
        for shoppers in shoppers[..600].chunks(20) {
            buy(&api, sale, shoppers).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let auditing = async {
        for _ in 0..4 {
            let (code, document) = audit(&system, &[]).await;
            assert_eq!((code, &document["clean"]), (0, &true.into()), "{document}");
        }
    };
    // Even a single look finds nothing but what may lag behind, wherever it meets the sale.
    let auditor = auditor(&system).await;
    let sold = AtomicBool::new(false);
    let selling = async {
        selling.await;
        sold.store(true, Ordering::Relaxed);
    };
    let looking = async {
        while !sold.load(Ordering::Relaxed) {
            let report = auditor.run(SaleId::new(sale)).await.unwrap();
            for finding in &report.sheets[0].findings {
                let may_lag = matches!(
                    finding,
                    Finding::UnknownOrder { .. } | Finding::FailedDespiteOrder { .. }
                );
                assert!(may_lag, "{finding:?}");
            }
        }
    };
    tokio::join!(selling, auditing, looking);

    // Sold out by now. Everything that was accepted and is not settled explains itself, however long it takes.
    let (now, minute) = (chrono::Utc::now(), Duration::from_mins(1));
    let (other, _) = system.sale_in(30, now - minute, now + 30 * minute).await;
    api.wait_until_open(&system, other).await;
    worker.pause();
    buy(&api, other, &shoppers[600..640]).await;
    let (code, document) = audit(&system, &["--sale", &other.to_string()]).await;
    assert_eq!(code, 0, "{document}");
    let sheet = &document["sales"][0];
    assert_eq!(document["sales"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&sheet["sold"], &sheet["remaining"]),
        (&0.into(), &30.into())
    );
    assert_eq!(sheet["gate"]["pending"], 30);
    assert_eq!(sheet["notSettled"], 30);
    worker.resume();

    for (sale, units) in [(sale, 400), (other, 30)] {
        assert_eq!(system.check_promises(sale).await.orders, units);
    }
    let (code, document) = audit(&system, &[]).await;
    assert_eq!(code, 0, "{document}");
    let sheets = document["sales"].as_array().unwrap();
    let sheet = sheets.iter().find(|sheet| sheet["id"] == sale).unwrap();
    assert_eq!(
        (&sheet["initial"], &sheet["sold"]),
        (&400.into(), &400.into())
    );
    assert_eq!(sheet["gate"]["ordered"], 400);
    assert_eq!(sheet["gate"]["available"], 0);
    let (success, text) = system.run(&["audit"]).outcome().await;
    assert!(success && text.contains("Every promise holds."), "{text}");
    assert!(
        text.contains("400 initial, 400 sold, 0 remaining"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_by_hand_is_found_and_mended() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(6).await;
    buy(&api, sale, &shoppers[..5]).await;
    system.check_promises(sale).await;
    let (code, document) = audit(&system, &[]).await;
    assert_eq!(code, 0, "{document}");

    let redis = system.redis.as_ref().unwrap();
    let [removed, told, bare, _, _, by_hand] = &shoppers[..] else {
        panic!("six shoppers");
    };
    let result = |shopper: &Shopper| format!("flashsale:result:{}:{product}", shopper.id);
    let stock = format!("flashsale:{{{sale}}}:stock");
    // A worker would find most of it by itself.
    worker.pause();
    system
        .sql(&format!(
            "DELETE FROM orders WHERE user_id = {}",
            removed.id
        ))
        .await;
    redis.cli(&["SET", &result(told), &format!("FAILED:{sale}")]);
    redis.cli(&["SET", &result(bare), "FAILED"]);
    // Somebody else's sale.
    redis.cli(&["SET", &result(&shoppers[3]), "FAILED:77777"]);
    redis.cli(&["INCR", &stock]);
    system
        .sql(&format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id) \
             VALUES ({}, {product}, {sale}, 'SUCCESS', gen_random_uuid())",
            by_hand.id
        ))
        .await;
    let broken = expected([
        ("off_balance", None),
        ("holder_without_order", Some(removed)),
        ("success_without_order", Some(removed)),
        ("failed_despite_order", Some(told)),
        ("failed_despite_order", Some(bare)),
        ("unknown_order", Some(by_hand)),
    ]);
    // A look, and a dry run, change nothing.
    let state = || {
        let keys = [&stock, &result(removed), &result(told), &result(bare)];
        keys.map(|key| redis.cli(&["GET", key]))
    };
    let before = state();
    let (code, document) = audit(&system, &["--repair"]).await;
    assert_eq!((code, findings(&document)), (1, broken), "{document}");
    let repairs = document["repairs"].as_array().unwrap();
    let planned: Vec<_> = repairs.iter().map(|repair| &repair["remedy"]).collect();
    assert_eq!(planned, ["tell_success", "forget_success", "reload"]);
    assert!(repairs.iter().all(|repair| repair["state"] == "planned"));
    assert_eq!(document["sales"][0]["removedByHand"], 1);
    let audited = system.run(&["audit", "--repair"]);
    assert_eq!(audited.end().await.code(), Some(1));
    let text = audited.output();
    assert!(
        text.contains("BROKEN") && text.contains("Nothing was changed"),
        "{text}"
    );
    assert_eq!(state(), before);

    worker.resume();
    let (code, document) = audit(&system, &["--repair", "--yes"]).await;
    assert_eq!(code, 0, "{document}");
    let repairs = document["repairs"].as_array().unwrap();
    assert!(
        repairs.iter().all(|repair| repair["state"] == "done"),
        "{document}"
    );
    let (code, document) = audit(&system, &[]).await;
    assert_eq!(code, 0, "{document}");
    assert_eq!(system.check_promises(sale).await.orders, 5);
    for buyer in [told, bare, by_hand] {
        assert_eq!(api.result(product, buyer).await.as_deref(), Some("SUCCESS"));
    }
    assert_eq!(redis.cli(&["GET", &result(&shoppers[3])]), "FAILED:77777");
    // Who lost the order can have another.
    assert_eq!(api.result(product, removed).await, None);
    assert_eq!(api.attempt(sale, removed).await.0, 200);
    assert_eq!(system.check_promises(sale).await.orders, 6);
    assert_eq!(
        api.result(product, removed).await.as_deref(),
        Some("SUCCESS")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_the_gate_does_not_know_is_told_to_it_while_the_sale_goes_on() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    system
        .sql(&format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id) \
             VALUES ({}, {product}, {sale}, 'SUCCESS', gen_random_uuid())",
            shoppers[0].id
        ))
        .await;
    worker.pause();
    assert_eq!(api.attempt(sale, &shoppers[1]).await.0, 200);
    let (code, document) = audit(&system, &["--repair", "--yes"]).await;
    assert_eq!(code, 0, "{document}");
    assert_eq!(document["repairs"][0]["remedy"], "record_orders");
    let gate = &document["sales"][0]["gate"];
    assert_eq!((&gate["ordered"], &gate["pending"]), (&1.into(), &1.into()));
    worker.resume();
    assert_eq!(system.check_promises(sale).await.orders, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_has_ended_is_mended_and_its_buyers_are_still_told() {
    let system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    buy(&api, sale, &shoppers).await;
    system.check_promises(sale).await;
    system
        .sql("UPDATE flash_sales SET end_time = now() - interval '1 second'")
        .await;
    system
        .sql(&format!(
            "DELETE FROM orders WHERE user_id = {}",
            shoppers[0].id
        ))
        .await;
    // The gate alone knows what its buyers are to be told.
    let redis = system.redis.as_ref().unwrap();
    for shopper in &shoppers {
        redis.cli(&["DEL", &format!("flashsale:result:{}:{product}", shopper.id)]);
    }
    let (code, document) = audit(&system, &["--repair", "--yes"]).await;
    assert_eq!(code, 0, "{document}");
    assert_eq!(document["sales"][0]["gate"]["ordered"], 1);
    let told = [&shoppers[0], &shoppers[1]].map(|shopper| api.result(product, shopper));
    assert_eq!(join_all(told).await, [None, Some("SUCCESS".to_owned())]);
}

#[tokio::test]
async fn a_log_that_was_cut_before_it_was_settled_is_found() {
    let system = Servers::start().await;
    let log = &system.topic.config.topic;
    system
        .sql(&format!(
            "INSERT INTO consumer_partitions (group_name, topic, partition, next_offset) \
             VALUES ('flash-sale-worker-group', '{log}', 0, 0), ('another group', '{log}', 1, 7)"
        ))
        .await;
    system.topic.cut(0, 3).await;
    let (code, document) = audit(&system, &[]).await;
    assert_eq!(code, 1, "{document}");
    let expected =
        serde_json::json!([{ "kind": "cut_before_settled", "partition": 0, "records": 3 }]);
    assert_eq!(document["log"]["findings"], expected);
    let (_, text) = system.run(&["audit"]).outcome().await;
    assert!(
        text.contains("3 records were deleted before they were settled"),
        "{text}"
    );
}

#[tokio::test]
async fn what_cannot_be_found_out_is_neither_clean_nor_broken() {
    let mut system = Servers::start().await;
    let audited = system.run(&["audit", "--sale", "4711"]);
    assert_eq!(audited.end().await.code(), Some(2));
    assert!(complaint(&audited.output()).contains("4711"));

    system.redis.as_mut().unwrap().kill();
    let impatient = [("STARTUP_TIMEOUT_SECS", "1")];
    let audited = system.run_with(&["audit"], &impatient);
    assert_eq!(audited.end().await.code(), Some(2));
    let output = audited.output();
    assert!(
        complaint(&output).contains("Redis cannot be reached"),
        "{output}"
    );

    let audited = system.run_with(&["audit"], &[("REDIS_PORT", "x")]);
    assert_eq!(audited.end().await.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_is_audited_once_nobody_serves_it() {
    let system = OneProcess::start().await;
    let audit = async |arguments: &[&str]| {
        document(system.run(&[&["audit", "--json"], arguments].concat())).await
    };
    let api = system.serve().await;
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(5).await;
    buy(&api, sale, &shoppers).await;
    system.check_promises(sale).await;

    let busy = system.run(&["audit"]);
    assert_eq!(busy.end().await.code(), Some(2));
    assert!(complaint(&busy.output()).contains("in use by another flashsale"));
    api.process.terminate();
    assert!(api.process.end().await.success());

    let (code, document) = audit(&[]).await;
    assert_eq!(code, 0, "{document}");
    let sheet = &document["sales"][0];
    assert_eq!((&sheet["initial"], &sheet["sold"]), (&3.into(), &3.into()));
    assert_eq!(sheet["gate"], Value::Null);

    // Somebody who bought loses the order, and a line says otherwise.
    let buyer = "SELECT min(user_id) FROM orders";
    let buyer = Shopper::with_account(system.number(buyer).await);
    system
        .sql(&format!(
            "INSERT INTO results (user_id, product_id, flash_sale_id, result, expires_at) \
             VALUES ({}, {product}, {sale}, 'SUCCESS', 99999999999999)",
            buyer.id
        ))
        .await;
    assert_eq!(audit(&[]).await.0, 0, "it is true for now");
    system
        .sql(&format!("DELETE FROM orders WHERE user_id = {}", buyer.id))
        .await;
    let broken = expected([("success_without_order", Some(&buyer))]);
    for _ in 0..2 {
        let (code, document) = audit(&["--repair"]).await;
        assert_eq!(
            (code, findings(&document)),
            (1, broken.clone()),
            "{document}"
        );
    }
    assert_eq!(audit(&["--repair", "--yes"]).await.0, 0);
    assert_eq!(audit(&[]).await.0, 0);

    // What only switched-off triggers allow is for a person.
    system
        .sql("DROP TRIGGER flash_sales_update_stock_is_true")
        .await;
    system
        .sql("UPDATE flash_sales SET remaining_stock = 2")
        .await;
    let (code, document) = audit(&["--repair", "--yes"]).await;
    assert_eq!(code, 1);
    assert_eq!(findings(&document), expected([("wrong_remaining", None)]));
    assert_eq!(document["repairs"], serde_json::json!([]));
}

/// An entry with a hash that is not that of its fields.
const FORGED: &str = "
    INSERT INTO admin_actions (id, at, action, target, actor, role, reason, previous_hash, hash)
    VALUES (1, '2026-11-29T12:00:00Z', 'pause_sale', 'sale:1', 'user:7', 'operator', '', decode(repeat('00', 32), 'hex'),
        decode(repeat('01', 32), 'hex'))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_entry_of_the_action_log_is_named() {
    let system = Servers::start().await;
    assert_eq!(audit(&system, &[]).await.0, 0);
    system.sql(FORGED).await;
    let (code, document) = audit(&system, &[]).await;
    assert_eq!(code, 1, "{document}");
    let broken = document["actionLog"]["broken"].as_str().unwrap();
    assert!(broken.contains("entry 1 was changed"), "{broken}");
    assert_eq!(document["actionLog"]["entries"], 0);
    let text = system.run(&["audit"]);
    assert_eq!(text.end().await.code(), Some(1));
    assert!(text.output().contains("BROKEN  entry 1 was changed"));
}

#[tokio::test]
async fn a_directory_without_data_is_not_made_by_looking() {
    let system = OneProcess::on_nothing();
    for command in [&["audit"][..], &["dead-letters", "list"]] {
        let looked = system.run(command);
        assert!(!looked.end().await.success());
        assert!(complaint(&looked.output()).contains("no data file"));
        assert!(!system.directory().exists());
    }
}
