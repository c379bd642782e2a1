//! A fresh system: product, sale, published, bought; and what everybody sees of it.

use std::time::{Duration, Instant};

use flashsale::port::Role;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::support::{
    api::Api,
    system::{OneProcess, System},
    wait_until,
};

/// A page that everybody may see.
async fn public(api: &Api, path: &str) -> (reqwest::header::HeaderMap, Value) {
    let answer = api.http.get(format!("{}{path}", api.url)).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    (answer.headers().clone(), answer.json().await.unwrap())
}

async fn listed(api: &Api, sale: i64) -> Option<Value> {
    let (_, body) = public(api, "/api/flash-sales").await;
    let sales = body["data"].as_array().unwrap();
    sales.iter().find(|listed| listed["id"] == sale).cloned()
}

/// With nothing but the demo account of a fresh data directory.
#[tokio::test]
async fn a_fresh_process_sells_what_an_operator_publishes() {
    let system = OneProcess::on_nothing();
    let api = system.serve_with(&[], &[]).await;
    let operator = api.login("admin", "admin123").await;
    let desk = Desk {
        api: &api,
        token: operator.token,
    };
    let sale = desk.draft(5, -60, 3600).await;
    assert_eq!(listed(&api, sale).await, None, "drafts are for operators");
    let path = format!("/sales/{sale}/publish");
    let published = desk.post(&path, json!({"reason": "Noon"})).await;
    assert!([200, 202].contains(&published.status), "{published:?}");
    let begun = Instant::now();
    wait_until("the sale is public", Duration::from_secs(2), || async {
        listed(&api, sale).await.is_some()
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(2));

    let shown = listed(&api, sale).await.unwrap();
    assert_eq!(shown["phase"], "open");
    assert_eq!(shown["stock"], "few");
    assert_eq!(shown["product"]["name"], "Trail shoe");
    assert_eq!(shown["product"]["priceCents"], 9900);
    assert_eq!(shown["product"]["priorPriceCents"], 14900);
    assert_eq!(shown["product"]["currency"], "EUR");
    assert_eq!(
        shown["product"]["imageUrl"],
        "https://shop.example/shoe.jpg"
    );

    let shopper = api.login("user1", "password123").await;
    system.wait_until_open(sale).await;
    assert_eq!(api.attempt(sale, &shopper).await.0, 200);
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (1, 4));
    let told = desk.balance(sale).await;
    assert_eq!(
        (&told["sold"], &told["available"], &told["drift"]),
        (&json!(1), &json!(4), &json!(0))
    );

    let actions = desk.get("/actions").await.expect(200);
    let names: Vec<_> = actions.data()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| action["action"].as_str().unwrap().to_owned())
        // Before these are the entries of the demo data.
        .take(3)
        .collect();
    assert_eq!(names, ["publish_sale", "create_sale", "create_product"]);
    let newest = &actions.data()["items"][0];
    assert_eq!(newest["reason"], "Noon");
    assert_eq!(newest["actor"], format!("user:{}", operator.id));
    assert_eq!(newest["role"], "admin");
}

on_systems! {
    what_is_public_is_cached_and_says_when_to_come,
}

async fn what_is_public_is_cached_and_says_when_to_come<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let later = desk.draft(100, 600, 1200).await;
    desk.post(&format!("/sales/{later}/publish"), json!({}))
        .await;
    wait_until("it is public", Duration::from_secs(5), || async {
        listed(&api, later).await.is_some()
    })
    .await;

    let (headers, body) = public(&api, &format!("/api/flash-sales/{later}")).await;
    assert_eq!(headers["cache-control"], "public, max-age=1");
    assert_eq!(body["data"]["phase"], "scheduled");
    assert_eq!(body["data"]["stock"], "plenty");
    let again = api
        .http
        .get(format!("{}/api/flash-sales/{later}", api.url))
        .header("If-None-Match", &headers["etag"]);
    assert_eq!(again.send().await.unwrap().status(), 304);
    let missing = api.http.get(format!("{}/api/flash-sales/999999", api.url));
    assert_eq!(missing.send().await.unwrap().status(), 404);

    let (headers, body) = public(&api, "/api/time").await;
    assert_eq!(headers["cache-control"], "no-store");
    let now = body["data"]["epochMillis"].as_i64().unwrap();
    assert!((now - chrono::Utc::now().timestamp_millis()).abs() < 5_000);

    let shopper = system.shoppers(1).await.remove(0);
    let url = format!("{}/api/flash-sale/attempt/{later}", api.url);
    let early = api.http.post(url).bearer_auth(&shopper.token).send().await;
    let early = early.unwrap();
    let wait: i64 = early.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((500..=600).contains(&wait), "{wait}");
    let body: Value = early.json().await.unwrap();
    assert_eq!(body["code"], "not_started");
    let at = |field: &str| {
        let text = body[field].as_str().unwrap();
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    let until = (at("startsAt") - at("serverTime")).num_milliseconds();
    assert!(
        (wait - 1) * 1_000 < until && until <= wait * 1_000,
        "{body}"
    );
    assert!(body["message"].as_str().unwrap().contains("not yet active"));

    let cancelled = desk
        .post(&format!("/sales/{later}/cancel"), json!({}))
        .await;
    assert_eq!(cancelled.data()["phase"], "cancelled");
    wait_until("it is not listed", Duration::from_secs(5), || async {
        listed(&api, later).await.is_none()
    })
    .await;
    let (_, body) = public(&api, &format!("/api/flash-sales/{later}")).await;
    assert_eq!(
        (&body["data"]["phase"], &body["data"]["stock"]),
        (&json!("cancelled"), &json!("none"))
    );
}
