//! Streams of events, on servers and in one process: the state on connection, changes, limits, and their end.

mod interrupted;
mod limits;
mod topologies;

use std::time::Duration;

use flashsale::port::Role;
use serde_json::json;

use crate::{
    admin::desk::Desk,
    support::{
        api::Shopper,
        events::{Event, Events},
        system::System,
        wait_until,
    },
};

on_systems! {
    a_sale_is_told_at_once_and_whenever_it_changes,
    a_shopper_is_told_the_result_of_a_press,
    an_order_that_ends_is_told_and_its_sale_is_followed_after_it_is_cancelled,
    a_second_shopper_sees_it_sold_out,
    the_end_of_a_session_ends_its_streams,
    a_process_that_drains_ends_its_streams_at_once,
}

async fn a_sale_is_told_at_once_and_whenever_it_changes<S: System>(system: S) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(5).await;
    api.wait_until_open(&system, sale).await;

    let mut events = Events::of_sale(&api, sale).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert_eq!(events.header("cache-control"), "no-store");
    assert_eq!(events.header("x-accel-buffering"), "no");
    let retry = events.block().await.unwrap();
    let retry: u64 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((2_000..5_000).contains(&retry), "{retry}");
    let first = events.next().await;
    assert_eq!(
        (first.name.as_str(), &first.data["phase"]),
        ("sale", &json!("open"))
    );
    let time = first.data["serverTime"].as_str().unwrap().to_owned();
    let (_, public) = api.get(&format!("/api/flash-sales/{sale}"), None).await;
    let mut expected = public["data"].clone();
    expected["serverTime"] = json!(time);
    assert_eq!(first.data, expected);

    let path = |change: &str| format!("/sales/{sale}/{change}");
    let paused = desk.post(&path("pause"), json!({"reason": "Test"})).await;
    paused.expect(200);
    let second = events.next().await;
    assert_eq!(second.data["phase"], "paused");
    assert!(second.id > first.id, "{:?} {:?}", first.id, second.id);
    let resumed = desk.post(&path("resume"), json!({"reason": "Test"})).await;
    resumed.expect(200);
    assert_eq!(events.next().await.data["phase"], "open");

    let missing = Events::open(&api, "/api/flash-sales/999999999/events", None).await;
    assert_eq!(missing.err().unwrap().status(), 404);
    let url = format!("{}/api/flash-sales/{sale}/events", api.url);
    let head = api.http.head(url).send().await.unwrap();
    assert_eq!(head.headers()["content-type"], "text/event-stream");
}

async fn a_shopper_is_told_the_result_of_a_press<S: System>(system: S) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    let mut events = Events::of_orders(&api, &shoppers[0]).await;
    let before = events.until(Event::is_ready).await;
    assert!(before.iter().all(|event| event.result_of(sale).is_none()));
    assert_eq!(before.last().unwrap().data, json!({"sales": [sale]}));
    let results = async |shopper| api.get("/api/orders/results", shopper).await;
    let none = json!({"success": true, "data": [], "sales": [sale]});
    assert_eq!(results(Some(&shoppers[0])).await, (200, none.clone()));
    assert_eq!(results(None).await.0, 401);

    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    let told = events.until(|event| event.result_of(sale) == Some("SUCCESS"));
    let told = told.await;
    let expected = json!({"saleId": sale, "productId": product, "status": "SUCCESS"});
    assert_eq!(told.last().unwrap().data, expected);
    assert!(told.last().unwrap().id > before.last().unwrap().id);
    let polled = json!({"success": true, "data": [expected], "sales": [sale]});
    assert_eq!(results(Some(&shoppers[0])).await, (200, polled));
    assert_eq!(results(Some(&shoppers[1])).await, (200, none));

    // Whoever connects later is told before everything else.
    let mut later = Events::of_orders(&api, &shoppers[0]).await;
    let told = later.until(Event::is_ready).await;
    assert!(
        told.iter()
            .any(|event| event.result_of(sale) == Some("SUCCESS"))
    );
    // Nobody else is.
    let mut other = Events::of_orders(&api, &shoppers[1]).await;
    let told = other.until(Event::is_ready).await;
    assert_eq!(told.len(), 1, "{told:?}");
    system.check_promises(sale).await;
}

async fn an_order_that_ends_is_told_and_its_sale_is_followed_after_it_is_cancelled<S: System>(
    system: S,
) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    let mut attempts = Vec::new();
    for shopper in &shoppers {
        let (status, body) = api.attempt(sale, shopper).await;
        assert_eq!(status, 200);
        attempts.push(body["data"]["attemptId"].as_str().unwrap().to_owned());
    }
    system.check_promises(sale).await;
    let mut events = Events::of_orders(&api, &shoppers[0]).await;
    let before = events.until(Event::is_ready).await;
    assert_eq!(before[0].result_of(sale), Some("SUCCESS"));

    let body = json!({"restock": true, "reason": "Test"});
    let path = format!("/orders/{}/cancel", attempts[0]);
    desk.post(&path, body).await.expect(200);
    let told = events.until(|event| event.result_of(sale).is_some()).await;
    assert_eq!(told.last().unwrap().result_of(sale), Some("NONE"));
    let polled = api.get("/api/orders/results", Some(&shoppers[0])).await;
    let none = json!({"success": true, "data": [], "sales": [sale]});
    assert_eq!(polled, (200, none));

    let path = format!("/sales/{sale}/cancel");
    let cancelled = desk.post(&path, json!({"reason": "Test"})).await;
    assert!([200, 202].contains(&cancelled.status), "{cancelled:?}");
    let path = format!("/api/flash-sales/{sale}");
    wait_until("it is cancelled", Duration::from_secs(5), || async {
        api.get(&path, None).await.1["data"]["phase"] == "cancelled"
    })
    .await;
    let mut buyer = Events::of_orders(&api, &shoppers[1]).await;
    let told = buyer.until(Event::is_ready).await;
    assert_eq!(told[0].result_of(sale), Some("SUCCESS"));
}

async fn a_second_shopper_sees_it_sold_out<S: System>(system: S) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, _) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    let mut seen = Events::of_sale(&api, sale).await;
    assert_eq!(seen.next().await.data["stock"], "few");
    let mut results = Events::of_orders(&api, &shoppers[1]).await;
    results.until(Event::is_ready).await;

    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    assert_eq!(seen.next().await.data["stock"], "none");
    assert_eq!(api.attempt(sale, &shoppers[1]).await.0, 409);
    let told = results.until(|event| event.result_of(sale).is_some()).await;
    assert_eq!(told.last().unwrap().result_of(sale), Some("FAILED"));
    system.check_promises(sale).await;
}

async fn the_end_of_a_session_ends_its_streams<S: System>(system: S) {
    let api = system.serve().await;
    let shopper = api.register("listener").await;
    let mut events = Events::of_orders(&api, &shopper).await;
    events.until(Event::is_ready).await;
    // A token of this second would count as one that was issued after the logout.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (status, _) = api.post("/api/auth/logout", Some(&shopper), None).await;
    assert!([200, 204].contains(&status), "{status}");
    let ended = tokio::time::timeout(Duration::from_secs(5), events.next_or_end()).await;
    assert_eq!(ended.expect("within 5 s"), None);

    for refused in [&shopper, &Shopper::nobody()] {
        let refused = Events::open(&api, "/api/orders/events", Some(refused)).await;
        assert_eq!(refused.err().unwrap().status(), 401);
    }
    let without = Events::open(&api, "/api/orders/events", None).await;
    assert_eq!(without.err().unwrap().status(), 401);
}

async fn a_process_that_drains_ends_its_streams_at_once<S: System>(system: S) {
    let api = system.serve_as(&[("DRAIN_DELAY_SECS", "60")]).await;
    let (sale, _) = system.sale(1).await;
    api.wait_until_known(&system, sale).await;
    let shopper = system.shoppers(1).await.remove(0);
    let mut of_sale = Events::of_sale(&api, sale).await;
    of_sale.next().await;
    let mut of_orders = Events::of_orders(&api, &shopper).await;
    of_orders.until(Event::is_ready).await;
    api.process.terminate();
    for events in [&mut of_sale, &mut of_orders] {
        let ended = tokio::time::timeout(Duration::from_secs(2), events.next_or_end()).await;
        assert_eq!(ended.expect("at once"), None);
    }
    for path in [
        format!("/api/flash-sales/{sale}/events"),
        "/api/orders/events".to_owned(),
    ] {
        let refused = Events::open(&api, &path, Some(&shopper)).await;
        let refused = refused.err().expect("others have room");
        assert_eq!(refused.status(), 503, "{path}");
        let wait = refused.headers()["retry-after"].to_str().unwrap();
        assert!((5..=15).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    }
    let polled = api.get("/api/orders/results", Some(&shopper)).await;
    assert_eq!(polled.0, 200, "{polled:?}");
    let path = "/health";
    wait_until("the rest is served", Duration::from_secs(2), || async {
        api.get(path, None).await.0 == 200
    })
    .await;
    api.process.interrupt();
}
