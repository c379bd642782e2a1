//! Events of orders and sales as systems outside receive them: by asking, in the topic, by webhooks, on servers and in one process.

mod kills;
mod receiver;
mod recording;
mod webhooks;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};

use self::recording::{Consumer, Recording};
use crate::support::{api::Shopper, wait_until};

on_systems! { S::recording() =>
    an_order_system_reads_every_order_by_its_number,
    a_waiting_request_is_answered_with_the_next_event,
    what_cannot_be_read_is_told,
}

/// Checks the events of a sale from its first one on: numbers without gaps, ids that are distinct, one created event for each buyer.
pub fn check(events: &[Value], buyers: &BTreeSet<i64>) {
    for (number, event) in (1..).zip(events) {
        assert_eq!(event["sequence"], format!("{number:020}"), "{event}");
        assert_eq!(event["specversion"], "1.0");
    }
    let ids: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), events.len(), "ids are distinct");
    let created = events
        .iter()
        .filter(|event| event["type"] == "order.created")
        .map(|event| event["data"]["userId"].as_i64().unwrap());
    let created: Vec<_> = created.collect();
    assert_eq!(created.len(), buyers.len(), "one event an order");
    assert_eq!(created.into_iter().collect::<BTreeSet<_>>(), *buyers);
}

async fn an_order_system_reads_every_order_by_its_number<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let sale = system.recorded_sale(&api, 5).await;
    let shoppers = system.shoppers(8).await;
    let presses = shoppers.iter().map(|shopper| api.attempt(sale, shopper));
    let answers = join_all(presses).await;
    let bought = shoppers.iter().zip(&answers);
    let buyers: BTreeSet<i64> = bought
        .filter(|(_, (status, _))| *status == 200)
        .map(|(shopper, _)| shopper.id)
        .collect();
    system.check_promises(sale).await;
    let consumer = Consumer::of(&api, &system).await;
    let mut events = Vec::new();
    let mut after = 0;
    loop {
        // Less than a batch at a time.
        let page = consumer.page(sale, after, 2, 0).await;
        let more = page["events"].as_array().unwrap();
        assert!(more.len() <= 2);
        events.extend(more.iter().cloned());
        after = page["next"].as_u64().unwrap();
        if more.is_empty() {
            assert_eq!(page["last"], after);
            break;
        }
    }
    let types: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(types[0], "sale.published");
    assert_eq!(*types.last().unwrap(), "sale.sold_out");
    check(&events, &buyers);
    let first = &events[1];
    assert_eq!(first["data"]["saleId"], sale);
    let attempt = first["data"]["attemptId"].as_str().unwrap();
    assert_eq!(first["subject"], format!("sale/{sale}/order/{attempt}"));
}

async fn a_waiting_request_is_answered_with_the_next_event<S: Recording>(system: S) {
    let (api, _worker) = system.start_recording().await;
    let sale = system.recorded_sale(&api, 5).await;
    let consumer = Consumer::of(&api, &system).await;
    let after = consumer.page(sale, 0, 100, 0).await["next"]
        .as_u64()
        .unwrap();

    let began = Instant::now();
    let empty = consumer.page(sale, after, 100, 1).await;
    assert_eq!(empty["events"], json!([]));
    assert!(began.elapsed() >= Duration::from_secs(1), "it waited");

    let shopper = &system.shoppers(1).await[0];
    let began = Instant::now();
    let press = async {
        // The other request waits by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(api.attempt(sale, shopper).await.0, 200);
    };
    let (page, ()) = tokio::join!(consumer.page(sale, after, 100, 25), press);
    assert_eq!(page["events"][0]["type"], "order.created");
    assert_eq!(page["events"][0]["data"]["userId"], shopper.id);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

async fn what_cannot_be_read_is_told<S: Recording>(system: S) {
    let (api, worker) = system.start_recording().await;
    let sale = system.recorded_sale(&api, 5).await;
    let consumer = Consumer::of(&api, &system).await;
    let last = consumer.page(sale, 0, 100, 0).await["last"]
        .as_u64()
        .unwrap();
    let path = |sale: i64, after: u64| format!("/api/service/events?saleId={sale}&after={after}");
    let ask = async |path: &str| api.get(path, Some(&consumer.0)).await;

    let (status, body) = ask(&path(sale, last + 7)).await;
    assert_eq!((status, &body["code"]), (409, &json!("events_ahead")));
    let (status, body) = ask(&path(999_999_999, 0)).await;
    assert_eq!((status, &body["code"]), (404, &json!("sale_not_found")));
    for wrong in [
        "/api/service/events".to_owned(),
        path(0, 0),
        format!("{}&limit=0", path(sale, 0)),
        format!("{}&wait=31", path(sale, 0)),
        format!("/api/service/events?saleId={sale}&after=-1"),
    ] {
        let (status, body) = ask(&wrong).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &json!("validation_failed")),
            "{wrong}"
        );
    }
    let shopper = &system.shoppers(1).await[0];
    assert_eq!(api.get(&path(sale, 0), None).await.0, 401);
    assert_eq!(api.get(&path(sale, 0), Some(shopper)).await.0, 403);
    let other = consumer.with_scopes("orders:settle");
    assert_eq!(api.get(&path(sale, 0), Some(&other)).await.0, 403);

    // As retention removes events.
    system
        .sql(&format!(
            "UPDATE flash_sales SET initial_stock = initial_stock + 1 WHERE id = {sale}"
        ))
        .await;
    system
        .sql(&format!(
            "DELETE FROM event_batches WHERE flash_sale_id = {sale} AND last_seq <= {last}"
        ))
        .await;
    let (status, body) = ask(&path(sale, 0)).await;
    assert_eq!((status, &body["code"]), (410, &json!("events_gone")));
    assert_eq!(body["firstSequence"], last + 1);
    let page = consumer.page(sale, last, 100, 0).await;
    assert_eq!(page["events"][0]["type"], "sale.stock_changed");

    // Nobody records events any more.
    drop((api, worker));
    let api = system.serve().await;
    let _worker = system.worker_without_events().await;
    wait_until("events are off", Duration::from_secs(10), || async {
        system.number("SELECT count(*) FROM event_recording").await == 0
    })
    .await;
    let (status, body) = api.get(&path(sale, last + 1), Some(&consumer.0)).await;
    assert_eq!((status, &body["code"]), (409, &json!("events_off")));
    let (status, _) = api.get(&path(sale, last), Some(&consumer.0)).await;
    assert_eq!(status, 200, "what was recorded is still there");
}

impl Consumer {
    async fn page(&self, sale: i64, after: u64, limit: u32, wait: u32) -> Value {
        let path =
            format!("/api/service/events?saleId={sale}&after={after}&limit={limit}&wait={wait}");
        let request = self.1.get(format!("{}{path}", self.2));
        let answer = request.bearer_auth(&self.0.token).send().await.unwrap();
        let status = answer.status().as_u16();
        let mut body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{body}");
        body["data"].take()
    }

    fn with_scopes(&self, scopes: &str) -> Shopper {
        recording::program(self.0.id, scopes)
    }
}
