//! Sales that are paused, cancelled, made longer or over, by statements written by hand: what every node tells shoppers.

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;

use crate::support::{
    api::{Api, Shopper},
    system::System,
    wait_until,
};

/// How long a change in the ledger may take until every node acts on it.
const SOON: Duration = Duration::from_secs(3);

on_systems! {
    a_paused_sale_sells_nothing_and_goes_on_when_it_is_resumed,
    a_cancelled_sale_is_over_for_all_but_its_buyers,
    a_buyer_is_told_of_the_purchase_after_the_end,
}

/// Changes the sale, and waits until a worker has told the gate.
async fn set<S: System>(system: &S, api: &Api, worker: &S::Worker, sale: i64, assignment: &str) {
    let told = || {
        let output = system.worker_output(api, worker);
        output.matches("the gate has the sale's new terms").count()
    };
    let before = told();
    let statement = format!("UPDATE flash_sales SET {assignment} WHERE id = {sale}");
    system.sql(&statement).await;
    wait_until("the gate has the terms", SOON, || async { told() > before }).await;
}

/// Presses until the answer has this code.
async fn told(api: &Api, sale: i64, shopper: &Shopper, code: &str) -> Value {
    let answer = std::cell::RefCell::new(Value::Null);
    wait_until(code, SOON, || async {
        let (_, body) = api.attempt(sale, shopper).await;
        let is_told = body["code"] == code;
        *answer.borrow_mut() = body;
        is_told
    })
    .await;
    answer.into_inner()
}

async fn accepted(api: &Api, sale: i64, shopper: &Shopper) -> bool {
    api.attempt(sale, shopper).await.0 == 200
}

async fn a_paused_sale_sells_nothing_and_goes_on_when_it_is_resumed(system: impl System) {
    let (api, worker) = (system.serve().await, system.worker().await);
    let (sale, _) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(4).await;
    let [buyer, refused, last, late] = &shoppers[..] else {
        panic!("four shoppers");
    };
    assert!(accepted(&api, sale, buyer).await);

    let now = system.instant(Utc::now());
    set(
        &system,
        &api,
        &worker,
        sale,
        &format!("paused_at = '{now}'"),
    )
    .await;
    told(&api, sale, refused, "paused").await;
    for _ in 0..3 {
        assert!(!accepted(&api, sale, refused).await);
        assert!(
            accepted(&api, sale, buyer).await,
            "who holds a unit is told so"
        );
    }
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (1, 2));

    set(&system, &api, &worker, sale, "paused_at = NULL").await;
    wait_until("it goes on", SOON, || accepted(&api, sale, refused)).await;
    assert!(accepted(&api, sale, last).await);
    told(&api, sale, late, "sold_out").await;

    // Nobody is told that it is sold out while it is paused: units may come.
    set(
        &system,
        &api,
        &worker,
        sale,
        &format!("paused_at = '{now}'"),
    )
    .await;
    told(&api, sale, late, "paused").await;
    set(
        &system,
        &api,
        &worker,
        sale,
        "initial_stock = initial_stock + 1, paused_at = NULL",
    )
    .await;
    wait_until("the unit is sold", SOON, || accepted(&api, sale, late)).await;
    assert_eq!(system.check_promises(sale).await.orders, 4);
}

async fn a_cancelled_sale_is_over_for_all_but_its_buyers(system: impl System) {
    let (api, worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    assert!(accepted(&api, sale, &shoppers[0]).await);
    set(&system, &api, &worker, sale, "state = 'CANCELLED'").await;
    told(&api, sale, &shoppers[1], "ended").await;
    // The node knows by heart by now, and still asks the gate for a buyer.
    for _ in 0..20 {
        assert!(accepted(&api, sale, &shoppers[0]).await);
        assert_eq!(api.attempt(sale, &shoppers[1]).await.0, 410);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(system.check_promises(sale).await.orders, 1);
    let result = api.result(product, &shoppers[0]).await;
    assert_eq!(result.as_deref(), Some("SUCCESS"));
}

async fn a_buyer_is_told_of_the_purchase_after_the_end(system: impl System) {
    let (api, worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(3).await;
    let [buyer, late, next] = &shoppers[..] else {
        panic!("three shoppers");
    };
    let first = api.attempt(sale, buyer).await;
    assert_eq!(first.0, 200, "{first:?}");
    wait_until("the order stands", SOON, || async {
        api.result(product, buyer).await.as_deref() == Some("SUCCESS")
    })
    .await;

    let now = system.instant(Utc::now());
    set(&system, &api, &worker, sale, &format!("end_time = '{now}'")).await;
    told(&api, sale, late, "ended").await;
    // Past the margin of a second within which the gate is asked about everybody.
    let until = tokio::time::Instant::now() + Duration::from_millis(2_500);
    while tokio::time::Instant::now() < until {
        let (status, body) = api.attempt(sale, buyer).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["data"]["status"], "SUCCESS", "{body}");
        assert_eq!(body["data"]["attemptId"], first.1["data"]["attemptId"]);
        assert_eq!(api.attempt(sale, late).await.0, 410);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // It goes on: what the nodes know by heart falls.
    let later = system.instant(Utc::now() + Duration::from_hours(1));
    set(
        &system,
        &api,
        &worker,
        sale,
        &format!("end_time = '{later}'"),
    )
    .await;
    wait_until("it can be bought again", SOON, || {
        accepted(&api, sale, next)
    })
    .await;
    assert_eq!(system.check_promises(sale).await.orders, 2);
}
