//! Webhooks: signatures, order, repetition after failures, the end of an endpoint, secrets, and forms.

use std::{collections::BTreeSet, time::Duration};

use flashsale::port::Role;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{check, receiver::Receiver, recording::Recording};
use crate::{
    admin::desk::Desk,
    support::{
        system::{OneProcess, System},
        wait_until,
    },
};

/// Adds an endpoint; what the API says of it.
async fn add(desk: &Desk<'_>, form: Value) -> Value {
    let answer = desk.post("/webhooks", form).await.expect(201);
    answer.data().clone()
}

async fn deliveries(desk: &Desk<'_>, webhook: &Value) -> Vec<Value> {
    let path = format!("/webhooks/{}/deliveries", webhook["id"].as_str().unwrap());
    let answer = Desk::send(desk.request(Method::GET, &path))
        .await
        .expect(200);
    answer.data().as_array().unwrap().clone()
}

on_systems! { S::recording() =>
    endpoints_are_sent_every_event_signed_and_in_order,
    an_endpoint_that_was_down_receives_everything,
    an_endpoint_that_is_gone_is_disabled_until_a_replay,
    a_replay_of_removed_events_is_refused_and_loses_nothing,
    secrets_are_replaced_with_an_overlap,
    forms_of_endpoints_are_checked,
}

async fn endpoints_are_sent_every_event_signed_and_in_order<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let (all, orders, batched) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let first = add(&desk, json!({"url": all.url, "perSecond": 100})).await;
    let types = json!(["order.created"]);
    add(
        &desk,
        json!({"url": orders.url, "types": types, "perSecond": 100}),
    )
    .await;
    add(&desk, json!({"url": batched.url, "maxBatch": 50})).await;
    let sale = system.recorded_sale(&api, 4).await;
    let shoppers = system.shoppers(6).await;
    let answers = join_all(shoppers.iter().map(|shopper| api.attempt(sale, shopper))).await;
    let bought = shoppers.iter().zip(&answers);
    let buyers: BTreeSet<i64> = bought
        .filter(|(_, (status, _))| *status == 200)
        .map(|(shopper, _)| shopper.id)
        .collect();
    system.check_promises(sale).await;
    for receiver in [&all, &batched] {
        receiver.wait_for("sale.sold_out").await;
        check(&receiver.events(), &buyers);
    }
    wait_until("the orders are told", Duration::from_secs(10), || async {
        orders.events().len() == 4
    })
    .await;
    assert!(
        orders
            .events()
            .iter()
            .all(|event| event["type"] == "order.created")
    );
    let secret = first["secret"].as_str().unwrap();
    for request in all.received() {
        assert!(request.is_signed_with(secret), "{request:?}");
        assert_eq!(
            request.headers["content-type"],
            "application/cloudevents+json"
        );
        assert_eq!(request.headers["webhook-id"], request.events()[0]["id"]);
    }
    // A try is noted after its answer. Published, 4 orders, sold out.
    wait_until("all tries are noted", Duration::from_secs(10), || async {
        deliveries(&desk, &first).await.len() == 6
    })
    .await;
    let tries = deliveries(&desk, &first).await;
    assert!(
        tries
            .iter()
            .all(|one| one["status"] == 204 && one["error"].is_null())
    );
    assert_eq!(tries[0]["last"], 6, "the newest first");
    let listed = Desk::send(desk.request(Method::GET, "/webhooks"))
        .await
        .expect(200);
    assert!(listed.data()[0].get("secret").is_none(), "{}", listed.body);
}

async fn an_endpoint_that_was_down_receives_everything<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let receiver = Receiver::start().await;
    let webhook = add(&desk, json!({"url": receiver.url, "perSecond": 100})).await;
    receiver.answer(503);
    let sale = system.recorded_sale(&api, 2).await;
    receiver.wait_for_requests(1).await;
    let shoppers = system.shoppers(2).await;
    for shopper in &shoppers {
        assert_eq!(api.attempt(sale, shopper).await.0, 200);
    }
    system.check_promises(sale).await;
    receiver.answer(302);
    wait_until("it is redirected", Duration::from_secs(20), || async {
        receiver.received().iter().any(|one| one.status == 302)
    })
    .await;
    let tries = deliveries(&desk, &webhook).await;
    assert_eq!(tries.last().unwrap()["error"], "the answer was 503");
    assert!(receiver.events().is_empty());
    receiver.answer(204);
    receiver.wait_for("sale.sold_out").await;
    check(
        &receiver.events(),
        &shoppers.iter().map(|one| one.id).collect(),
    );
    let repeated = receiver.received();
    let ids: BTreeSet<_> = repeated[..2]
        .iter()
        .map(|one| &one.headers["webhook-id"])
        .collect();
    assert_eq!(ids.len(), 1, "the same message is sent again");
    wait_until("the redirect is noted", Duration::from_secs(10), || async {
        deliveries(&desk, &webhook).await.iter().any(|one| {
            let error = one["error"].as_str().unwrap_or_default();
            error.contains("redirects are not followed")
        })
    })
    .await;
}

async fn an_endpoint_that_is_gone_is_disabled_until_a_replay<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let receiver = Receiver::start().await;
    receiver.answer(410);
    let webhook = add(&desk, json!({"url": receiver.url})).await;
    let sale = system.recorded_sale(&api, 2).await;
    let list = async || {
        let listed = Desk::send(desk.request(Method::GET, "/webhooks"))
            .await
            .expect(200);
        listed.data()[0].clone()
    };
    wait_until("it is disabled", Duration::from_secs(10), || async {
        !list().await["disabled"].is_null()
    })
    .await;
    receiver.answer(204);
    let shopper = &system.shoppers(1).await[0];
    assert_eq!(api.attempt(sale, shopper).await.0, 200);
    system.check_promises(sale).await;
    assert_eq!(receiver.received().len(), 1, "nothing more is sent");

    let id = webhook["id"].as_str().unwrap();
    let replay = json!({"saleId": sale, "after": 0, "reason": "Test"});
    let path = format!("/webhooks/{id}/replay");
    desk.post(&path, replay.clone()).await.expect(200);
    receiver.wait_for("order.created").await;
    check(&receiver.events(), &[shopper.id].into());
    assert!(list().await["disabled"].is_null());
    // Again, although it got everything.
    let before = receiver.received().len();
    desk.post(&path, replay).await.expect(200);
    receiver.wait_for_requests(before + 2).await;

    // Beyond the last, and of no sale.
    for (of, after, status) in [(sale, 99, 409), (999_999, 0, 404)] {
        let unknown = json!({"saleId": of, "after": after});
        desk.post(&path, unknown).await.expect(status);
    }

    let removed = desk.request(Method::DELETE, &format!("/webhooks/{id}"));
    Desk::send(removed).await.expect(204);
    let listed = Desk::send(desk.request(Method::GET, "/webhooks"))
        .await
        .expect(200);
    assert_eq!(*listed.data(), json!([]));
    let actions = Desk::send(desk.request(Method::GET, "/actions"))
        .await
        .expect(200);
    let entries = actions.data()["items"].as_array().unwrap().iter();
    let names: Vec<_> = entries
        .map(|one| one["action"].as_str().unwrap())
        .take(4)
        .collect();
    assert_eq!(
        names,
        [
            "remove_webhook",
            "replay_webhook",
            "replay_webhook",
            "add_webhook"
        ]
    );
}

async fn a_replay_of_removed_events_is_refused_and_loses_nothing<S: Recording>(system: S) {
    let (api, worker) = system.start_recording().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let receiver = Receiver::start().await;
    let webhook = add(&desk, json!({"url": receiver.url, "perSecond": 100})).await;
    let sale = system.recorded_sale(&api, 1).await;
    receiver.wait_for("sale.published").await;
    let shopper = &system.shoppers(1).await[0];
    assert_eq!(api.attempt(sale, shopper).await.0, 200);
    system.check_promises(sale).await;
    // Published, an order, sold out.
    receiver.wait_for("sale.sold_out").await;
    let position = async || {
        let consumer = format!("webhook:{}", webhook["id"].as_str().unwrap());
        let of = format!("SELECT last_seq FROM event_positions WHERE consumer = '{consumer}'");
        system.number(&of).await
    };
    wait_until("all are noted", Duration::from_secs(10), async || {
        position().await == 3
    })
    .await;
    system
        .sql("DELETE FROM event_batches WHERE last_seq < 3")
        .await;

    let path = format!("/webhooks/{}/replay", webhook["id"].as_str().unwrap());
    let refused = desk.post(&path, json!({"saleId": sale, "after": 1})).await;
    let refused = refused.expect(410);
    assert_eq!(refused.body["code"], "events_gone");
    assert_eq!(refused.body["firstSequence"], 3);
    assert_eq!(position().await, 3, "the position is as it was");

    let before = receiver.received().len();
    let all_kept = json!({"saleId": sale, "after": 0});
    desk.post(&path, all_kept).await.expect(200);
    receiver.wait_for_requests(before + 1).await;
    let again = receiver.received()[before].events();
    assert_eq!(again[0]["type"], "sale.sold_out");
    let told = system.worker_output(&api, &worker);
    assert!(!told.contains("events were removed"), "{told}");
}

async fn secrets_are_replaced_with_an_overlap<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let receiver = Receiver::start().await;
    let webhook = add(&desk, json!({"url": receiver.url})).await;
    let id = webhook["id"].as_str().unwrap();
    let path = format!("/webhooks/{id}/rotate");
    let rotated = desk
        .post(&path, json!({"overlapHours": 1}))
        .await
        .expect(200);
    let (old, new) = (&webhook["secret"], &rotated.data()["secret"]);
    assert_ne!(old, new);
    assert!(rotated.data()["previousSecretUntil"].is_string());
    // Workers read endpoints once a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    system.recorded_sale(&api, 2).await;
    receiver.wait_for("sale.published").await;
    let both = receiver.received().pop().unwrap();
    for secret in [old, new] {
        assert!(both.is_signed_with(secret.as_str().unwrap()), "{both:?}");
    }
    let ended = desk
        .post(&path, json!({"overlapHours": 0}))
        .await
        .expect(200);
    let last = ended.data()["secret"].as_str().unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = receiver.received().len();
    system
        .sql("UPDATE flash_sales SET initial_stock = initial_stock + 1")
        .await;
    receiver.wait_for_requests(before + 1).await;
    let request = receiver.received().pop().unwrap();
    assert!(request.is_signed_with(last), "{request:?}");
    assert!(
        !request.is_signed_with(new.as_str().unwrap()),
        "{request:?}"
    );
}

async fn forms_of_endpoints_are_checked<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let url = "https://shop.example/hook";
    for (form, message) in [
        (json!({}), "url is required"),
        (json!({"url": "shop"}), "url is no URL"),
        (json!({"url": "ftp://shop.example/"}), "url must begin with"),
        (
            json!({"url": "https://a:b@shop.example/"}),
            "must not contain a user name",
        ),
        (
            json!({"url": url, "types": ["order.eaten"]}),
            "order.eaten is no type",
        ),
        (json!({"url": url, "maxBatch": 0}), "maxBatch must be"),
        (json!({"url": url, "perSecond": 101}), "perSecond must be"),
        (json!({"url": url, "saleId": 0}), "saleId must be"),
    ] {
        let refused = desk.post("/webhooks", form.clone()).await.expect(400);
        let told = refused.body["message"].as_str().unwrap();
        assert!(told.contains(message), "{form}: {told}");
    }
    let missing = "/webhooks/0198c5a0-0000-7000-8000-000000000001";
    let gone = desk.request(Method::DELETE, missing);
    assert_eq!(Desk::send(gone).await.status, 404);
    let support = Desk::of(&api, &system, Role::Support).await;
    let refused = support.post("/webhooks", json!({"url": url})).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn endpoints_in_private_networks_are_refused_unless_a_setting_allows_them() {
    let system = OneProcess::start().await;
    let on = ("EVENTS_ENABLED", "true");
    let api = system.serve_as(&[on]).await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let receiver = Receiver::start().await;
    for private in [
        "http://shop.example/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://2130706433/",
        &receiver.url,
    ] {
        desk.post("/webhooks", json!({"url": private}))
            .await
            .expect(400);
    }
    // A name is looked up when it is connected to.
    let port = receiver.url.rsplit(':').next().unwrap();
    let named = format!("https://localhost:{port}");
    let webhook = add(&desk, json!({"url": named})).await;
    system.sale(1).await;
    wait_until("a try is noted", Duration::from_secs(10), || async {
        !deliveries(&desk, &webhook).await.is_empty()
    })
    .await;
    let tries = deliveries(&desk, &webhook).await;
    let error = tries[0]["error"].as_str().unwrap();
    assert!(error.contains("not one of the public Internet"), "{error}");
    assert!(receiver.received().is_empty());
}
