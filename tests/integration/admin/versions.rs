//! Changes for a version that was seen: If-Match, and fields that are wrong.

use flashsale::port::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::support::system::System;

on_systems! {
    the_reason_of_a_form_is_in_the_action_log,
    an_action_has_the_address_of_the_client,
    a_change_is_for_the_version_that_was_seen,
    what_is_wrong_is_named_and_changes_nothing,
}

async fn a_change_is_for_the_version_that_was_seen<S: System>(system: S) {
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let (product, sale) = (desk.product().await, desk.draft(10, 600, 1200).await);
    for path in [format!("/products/{product}"), format!("/sales/{sale}")] {
        let change = if path.starts_with("/products") {
            json!({"name": "Another name"})
        } else {
            json!({"units": 20})
        };
        let seen = desk.get(&path).await.expect(200).etag();
        assert_eq!(seen, "\"v1\"");
        let blind = Desk::send(desk.request(Method::PATCH, &path).json(&change)).await;
        assert_eq!((blind.status, blind.code()), (428, "precondition_required"));
        for stale in ["\"v9\"", "W/\"v1\"", "\"1\"", "\"v8\", \"v9\""] {
            let answer = desk.patch(&path, stale, change.clone()).await;
            assert_eq!((answer.status, answer.code()), (412, "stale"), "{stale}");
        }
        let bare = desk.patch(&path, "v1", change.clone()).await;
        assert_eq!((bare.status, bare.code()), (400, "bad_request"));
        let message = bare.body["message"].as_str().unwrap();
        assert!(message.ends_with("If-Match: \"v1\""), "{message}");
        let changed = desk.patch(&path, &seen, change.clone()).await.expect(200);
        assert_eq!(changed.etag(), "\"v2\"");
        let again = desk.patch(&path, &seen, json!({"note": "x"})).await;
        assert!([400, 412].contains(&again.status), "{again:?}");
        assert_eq!(desk.get(&path).await.etag(), "\"v2\"");
    }
    let sale = format!("/sales/{sale}");
    let any = desk
        .patch(&sale, "*", json!({"units": 30}))
        .await
        .expect(200);
    assert_eq!(any.data()["units"], 30);
    let one_of = desk
        .patch(&sale, "\"v1\", \"v3\"", json!({"units": 31}))
        .await;
    assert_eq!(one_of.expect(200).data()["units"], 31);
}

async fn what_is_wrong_is_named_and_changes_nothing<S: System>(system: S) {
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let product = desk.product().await;
    for (body, field) in [
        (json!({}), "sku"),
        (json!({"sku": "", "name": "x"}), "sku"),
        (
            json!({"sku": "x", "name": "x", "priceCents": "5"}),
            "priceCents",
        ),
        (
            json!({"sku": "x", "name": "x", "priceCents": 5, "currency": "euro"}),
            "currency",
        ),
        (json!({"sku": "x", "nme": "x"}), "nme"),
    ] {
        let answer = desk.post("/products", body).await;
        assert_eq!((answer.status, answer.code()), (400, "validation_failed"));
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{field} ")), "{message}");
    }
    let sale = |start: &str, end: &str, product: i64| json!({"productId": product, "startTime": start, "endTime": end, "units": 1});
    let (noon, two) = ("2040-01-01T12:00:00Z", "2040-01-01T14:00:00Z");
    let backwards = desk.post("/sales", sale(two, noon, product)).await;
    assert_eq!(backwards.body["message"], "endTime must be after startTime");
    let unknown = desk.post("/sales", sale(noon, two, 999_999)).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));

    let first = desk
        .post("/sales", sale(noon, two, product))
        .await
        .expect(201)
        .id();
    let second = desk
        .post("/sales", sale(noon, two, product))
        .await
        .expect(201)
        .id();
    desk.post(&format!("/sales/{first}/publish"), json!({}))
        .await;
    let overlap = desk
        .post(&format!("/sales/{second}/publish"), json!({}))
        .await;
    assert_eq!((overlap.status, overlap.code()), (409, "overlapping_sale"));
    assert!(
        overlap.body["message"]
            .as_str()
            .unwrap()
            .contains(&format!("Sale {first} ")),
        "{overlap:?}"
    );
    let early = desk.post(&format!("/sales/{first}/end"), json!({})).await;
    assert_eq!((early.status, early.code()), (409, "not_allowed"));

    let products = desk.get("/products?limit=1").await.expect(200);
    let next = products.data()["next"].clone();
    assert_eq!(
        next,
        serde_json::Value::Null,
        "nothing else was made: {products:?}"
    );
    let list = desk.get("/sales?limit=1").await.expect(200);
    assert_eq!(list.data()["items"][0]["id"], second);
    let next = list.data()["next"].as_str().unwrap();
    let rest = desk.get(&format!("/sales?limit=1&after={next}")).await;
    assert_eq!(rest.data()["items"][0]["id"], first);
    assert_eq!(rest.data()["next"], serde_json::Value::Null);
    let wrong = desk.get("/sales?limit=0").await.expect(400);
    assert!(
        wrong.body["message"]
            .as_str()
            .unwrap()
            .starts_with("limit ")
    );
}

/// The newest entries of the action log, of these, the newest last.
async fn newest_actions(desk: &Desk<'_>, count: usize) -> Vec<Value> {
    let page = desk.get(&format!("/actions?limit={count}")).await;
    let mut actions = page.expect(200).data()["items"].as_array().unwrap().clone();
    actions.reverse();
    actions
}

async fn the_reason_of_a_form_is_in_the_action_log<S: System>(system: S) {
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let product = json!({
        "sku": "SHOE-9", "name": "Shoe", "priceCents": 1, "currency": "EUR", "reason": "For autumn",
    });
    let product = desk.post("/products", product).await.expect(201).id();
    let sale = json!({
        "productId": product, "startTime": "2040-01-01T12:00:00Z", "endTime": "2040-01-01T13:00:00Z",
        "units": 5, "reason": "For the newsletter",
    });
    let sale = desk.post("/sales", sale).await.expect(201).id();
    let product = format!("/products/{product}");
    let cheaper = json!({"priceCents": 2, "reason": "A typing error"});
    desk.patch(&product, "*", cheaper).await.expect(200);
    let sale = format!("/sales/{sale}");
    let more = json!({"units": 6, "reason": "One was found"});
    desk.patch(&sale, "*", more).await.expect(200);
    let noted: Vec<_> = newest_actions(&desk, 4)
        .await
        .iter()
        .map(|action| format!("{} {}", action["action"], action["reason"]).replace('"', ""))
        .collect();
    assert_eq!(
        noted,
        [
            "create_product For autumn",
            "create_sale For the newsletter",
            "change_product A typing error",
            "edit_sale One was found",
        ]
    );
    let long = json!({"note": "x", "reason": "x".repeat(501)});
    let refused = desk.patch(&sale, "*", long).await;
    assert_eq!((refused.status, refused.code()), (400, "validation_failed"));
}

/// That of the client, which a proxy names, and not the proxy's; of a connection whose other end is no proxy, its own.
async fn an_action_has_the_address_of_the_client<S: System>(system: S) {
    for (trusted, expected) in [("127.0.0.1", "203.0.113.5"), ("192.0.2.1", "127.0.0.1")] {
        let api = system.serve_as(&[("TRUSTED_PROXIES", trusted)]).await;
        let desk = Desk::of(&api, &system, Role::Operator).await;
        let sku = format!("behind {trusted}");
        let product = json!({"sku": sku, "name": "Shoe", "priceCents": 1, "currency": "EUR"});
        let request = desk.request(Method::POST, "/products").json(&product);
        let request = request.header("X-Forwarded-For", "203.0.113.5");
        Desk::send(request).await.expect(201);
        let action = newest_actions(&desk, 1).await.remove(0);
        assert_eq!(action["address"], expected, "{action}");
        api.process.terminate();
        api.process.end().await;
    }
}
