//! Orders of a sale as pages, CSV and NDJSON; one that is cancelled; the history of an attempt; the reports.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use flashsale::port::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::desk::{Desk, accepted};
use crate::support::{
    system::{Servers, System},
    wait_until,
};

const ORDERS: usize = 1_203;

/// A whole export as text.
async fn export(desk: &Desk<'_>, path: &str, accept: &str) -> (String, String) {
    let request = desk.request(Method::GET, path).header("Accept", accept);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (kind, answer.text().await.unwrap())
}

on_systems! {
    orders_are_exported_whole,
    an_order_is_cancelled_with_or_without_its_unit,
    an_order_is_cancelled_long_after_its_sale,
}

async fn orders_are_exported_whole<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Auditor).await;
    let operator = Desk::of(&api, &system, Role::Operator).await;
    let sale = operator.open_sale(2_000).await;
    let shoppers = system.shoppers(ORDERS).await;
    assert_eq!(accepted(&api, sale, &shoppers).await, ORDERS);
    system.check_promises(sale).await;
    let buyers: BTreeSet<String> = shoppers
        .iter()
        .map(|shopper| shopper.id.to_string())
        .collect();
    let path = format!("/sales/{sale}/orders");

    let (kind, csv) = export(&desk, &path, "text/csv").await;
    assert!(kind.starts_with("text/csv"), "{kind}");
    let mut lines = csv.split("\r\n");
    let head = lines.next().unwrap();
    assert_eq!(
        head,
        "orderId,attemptId,saleId,productId,userId,status,createdAt,updatedAt,sku,productName"
    );
    let rows: Vec<Vec<&str>> = lines
        .filter(|line| !line.is_empty())
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), ORDERS);
    assert!(
        rows.iter()
            .all(|row| row.len() == 10 && row[5] == "SUCCESS" && row[9] == "Trail shoe")
    );
    let users: BTreeSet<String> = rows.iter().map(|row| row[4].to_owned()).collect();
    assert_eq!(users, buyers);

    let (kind, ndjson) = export(&desk, &format!("{path}?format=ndjson"), "*/*").await;
    assert_eq!(kind, "application/x-ndjson");
    let objects: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        objects
            .iter()
            .all(|order| order["productName"] == "Trail shoe" && order["sku"].is_string())
    );
    let ids: Vec<&str> = objects
        .iter()
        .map(|order| order["orderId"].as_str().unwrap())
        .collect();
    let csv_ids: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(ids, csv_ids, "in the same order");

    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = desk
            .get(&format!("{path}?limit=500{after}"))
            .await
            .expect(200);
        let items = page.data()["items"].as_array().unwrap();
        pages.extend(
            items
                .iter()
                .map(|order| order["orderId"].as_str().unwrap().to_owned()),
        );
        match page.data()["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(pages, ids, "pages have each order once");

    desk.get(&format!("{path}?format=xml")).await.expect(400);
    desk.get(&format!("{path}?after=x")).await.expect(400);
    desk.get("/sales/999999/orders").await.expect(404);
}

/// A ledger that fails in the middle of an export must not make a short file look like a whole one.
#[tokio::test]
async fn an_export_that_breaks_off_is_noticed() {
    let system = Servers::start().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.draft(300_000, 600, 1_200).await;
    let product = system
        .number(&format!(
            "SELECT product_id FROM flash_sales WHERE id = {sale}"
        ))
        .await;
    system
        .sql(
            "INSERT INTO users (username, email, password_hash, role) \
             SELECT 'b' || n, 'b' || n || '@example.com', 'none', 'user' FROM generate_series(1, 200000) n",
        )
        .await;
    system
        .sql(&format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, attempt_id, status) \
             SELECT id, {product}, {sale}, gen_random_uuid(), 'SUCCESS' FROM users WHERE username LIKE 'b%'"
        ))
        .await;
    let request = desk.request(Method::GET, &format!("/sales/{sale}/orders?format=csv"));
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    system.sql("ALTER TABLE orders RENAME TO orders_away").await;
    let end = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "the file is not whole, and looks so");
    api.process
        .wait_for_line("an export of orders was broken off")
        .await;
}

async fn an_order_is_cancelled_with_or_without_its_unit<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(2).await;
    let shoppers = system.shoppers(3).await;
    let mut attempts = Vec::new();
    for shopper in &shoppers[..2] {
        let (status, body) = api.attempt(sale, shopper).await;
        assert_eq!(status, 200);
        attempts.push(body["data"]["attemptId"].as_str().unwrap().to_owned());
    }
    system.check_promises(sale).await;

    let history = desk
        .get(&format!("/attempts/{}", attempts[0]))
        .await
        .expect(200);
    let history = history.data();
    assert_eq!(history["settled"]["outcome"], "ORDERED");
    assert_eq!(history["told"], "SUCCESS");
    assert_eq!(history["userId"], shoppers[0].id.to_string());
    assert_eq!(history["state"], "settled");
    assert!(history["logged"]["partition"].is_number() && history["logged"]["topic"].is_string());
    assert!(history["logged"]["offset"].is_number(), "{history}");
    assert_eq!(history["order"]["status"], "SUCCESS");
    assert_eq!(history["order"]["productName"], "Trail shoe");
    let of_shopper = desk
        .get(&format!("/users/{}/attempts", shoppers[0].id))
        .await
        .expect(200);
    assert_eq!(of_shopper.data()["items"][0]["attemptId"], attempts[0]);
    desk.get("/attempts/0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")
        .await
        .expect(404);

    let path = |attempt: &str| format!("/orders/{attempt}/cancel");
    let undecided = desk.post(&path(&attempts[0]), json!({"reason": "x"})).await;
    assert_eq!(undecided.body["message"], "restock is required");
    let body = json!({"restock": true, "reason": "Changed their mind"});
    let cancelled = desk
        .post_once(&path(&attempts[0]), "cancel", body.clone())
        .await;
    let cancelled = cancelled.expect(200);
    assert_eq!(
        (&cancelled.data()["status"], &cancelled.data()["applied"]),
        (&json!("FAILED"), &json!(true))
    );
    assert!(
        desk.post_once(&path(&attempts[0]), "cancel", body)
            .await
            .is_replayed()
    );
    wait_until("the unit is on sale", Duration::from_secs(2), || async {
        api.attempt(sale, &shoppers[2]).await.0 == 200
    })
    .await;
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.initial, balance.orders), (2, 2));

    let gone = desk
        .post(&path(&attempts[1]), json!({"restock": false}))
        .await;
    assert_eq!(gone.expect(200).data()["applied"], true);
    assert_eq!(desk.balance(sale).await["total"], 1);
    let (status, body) = api.attempt(sale, &shoppers[0]).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (409, Some("sold_out")),
        "the unit is gone"
    );
    let balance = system.check_promises(sale).await;
    assert_eq!(
        (balance.initial, balance.orders, balance.remaining),
        (1, 1, 0)
    );
    desk.post(
        &path("0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11"),
        json!({"restock": true}),
    )
    .await
    .expect(404);

    let audit = desk.get("/audits").await.expect(200);
    assert_eq!(audit.data()["clean"], true, "{audit:?}");
    let of_sale = desk.get(&format!("/audits?sale={sale}")).await.expect(200);
    assert_eq!(of_sale.data()["sales"][0]["id"], sale);
    desk.get("/audits?sale=999999").await.expect(404);
    let doctor = desk.get("/doctor").await.expect(200);
    assert!(
        doctor
            .data()
            .as_array()
            .is_some_and(|checks| !checks.is_empty()),
        "{doctor:?}"
    );
}

/// Its sale is neither listed any more nor known to the gate, which needs to be told nothing.
async fn an_order_is_cancelled_long_after_its_sale<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let days_ago = |days| chrono::Utc::now() - chrono::TimeDelta::days(days);
    let (sale, product) = system.sale_in(5, days_ago(20), days_ago(19)).await;
    // Of sales that ended longer ago than results are kept, the last one stays listed.
    system.sale_in(5, days_ago(9), days_ago(8)).await;
    let shoppers = system.shoppers(3).await;
    let mut attempts = Vec::new();
    for shopper in &shoppers {
        attempts.push(system.order(sale, product, shopper).await);
    }
    for (attempt, restock) in attempts.iter().zip([true, false]) {
        let begun = Instant::now();
        let body = json!({"restock": restock, "reason": "Returned"});
        let cancelled = desk.post(&format!("/orders/{attempt}/cancel"), body).await;
        assert_eq!(cancelled.expect(200).data()["applied"], true, "{restock}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    let left = "SELECT count(*) FROM released_orders WHERE applied_at IS NULL";
    assert_eq!(system.number(left).await, 0);
    // Ended by hand, so that the control loop completes it.
    let by_hand = format!(
        "UPDATE orders SET status = 'FAILED' WHERE flash_sale_id = {sale} AND user_id = {}",
        shoppers[2].id
    );
    system.sql(&by_hand).await;
    wait_until("it is noted", Duration::from_secs(3), || async {
        system.number(left).await == 0
    })
    .await;
    let note = json!({"note": "All were returned"});
    let seen = desk.get(&format!("/sales/{sale}")).await.etag();
    let noted = desk.patch(&format!("/sales/{sale}"), &seen, note).await;
    assert_eq!(noted.expect(200).data()["applied"], true);
}

#[tokio::test]
async fn an_attempt_that_waits_to_be_settled_has_a_history() {
    let system = Servers::start().await;
    let worker = system.work().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(2).await;
    let shopper = system.shoppers(1).await.remove(0);
    worker.kill();
    worker.end().await;
    let (status, body) = api.attempt(sale, &shopper).await;
    assert_eq!(status, 200, "{body}");
    let attempt = body["data"]["attemptId"].as_str().unwrap();
    let path = format!("/attempts/{attempt}");
    let waiting = desk.get(&path).await.expect(200);
    let waiting = waiting.data();
    assert_eq!(
        (&waiting["state"], &waiting["saleId"], &waiting["userId"]),
        (
            &json!("reserved"),
            &json!(sale),
            &json!(shopper.id.to_string())
        )
    );
    assert_eq!(
        (&waiting["settled"], &waiting["logged"]),
        (&Value::Null, &Value::Null)
    );
    let shown = system.run(&["order", "show", attempt]);
    assert!(shown.end().await.success());
    assert!(shown.answer().contains("settled   not yet"));
    let _worker = system.work().await;
    wait_until("it is settled", Duration::from_secs(20), || async {
        desk.get(&path).await.data()["state"] == "settled"
    })
    .await;
    let settled = desk.get(&path).await;
    let logged = &settled.data()["logged"];
    let records = system.topic.records(&system.topic.config.topic).await;
    let (partition, found) = records.first().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&logged["partition"], &logged["offset"]),
        (&json!(partition), &json!(found.offset))
    );
}
