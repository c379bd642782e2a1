//! Whole sales, from the socket to the order, on real servers and real processes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::support::{
    api::{Api, Shopper},
    process::Process,
    system::{Servers, System},
    wait_until,
};

/// Answers by status code.
type StatusCounts = BTreeMap<u16, usize>;

on_systems! {
    one_api_and_one_worker_sell_100_units_to_1000_shoppers,
    over_http_alone_100_of_1000_new_shoppers_buy_100_units,
    five_attempts_at_once_of_one_shopper_are_one_attempt,
    a_holder_is_told_of_the_purchase_even_when_all_is_sold,
    a_shopper_without_an_account_is_refused_before_a_unit_is_taken,
}

/// Everybody presses "buy" once, spread over the APIs, 64 at a time.
async fn everybody_buys(apis: &[Api], sale: i64, shoppers: &[Shopper]) -> StatusCounts {
    let attempts = shoppers
        .iter()
        .enumerate()
        .map(|(n, shopper)| apis[n % apis.len()].attempt(sale, shopper));
    let answers: Vec<(u16, Value)> = stream::iter(attempts).buffer_unordered(64).collect().await;
    let mut counts = StatusCounts::new();
    for (status, _) in answers {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// Everybody's result, polled for at most 10 seconds: how many read SUCCESS and FAILED.
async fn results(api: &Api, product: i64, shoppers: &[Shopper]) -> (usize, usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let results = shoppers.iter().map(|shopper| async move {
        loop {
            if let Some(result) = api.result(product, shopper).await {
                return result;
            }
            assert!(
                Instant::now() < deadline,
                "a shopper waited for more than 10 s for a result"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let results: Vec<String> = stream::iter(results).buffer_unordered(64).collect().await;
    let count = |wanted: &str| results.iter().filter(|result| *result == wanted).count();
    (count("SUCCESS"), count("FAILED"))
}

async fn a_sale_of_100_units_to_1000_shoppers(system: &impl System, apis: &[Api]) {
    let (sale, product) = system.sale(100).await;
    for api in apis {
        api.wait_until_open(system, sale).await;
    }
    let shoppers = system.shoppers(1_000).await;
    let counts = everybody_buys(apis, sale, &shoppers).await;
    assert_eq!(counts, StatusCounts::from([(200, 100), (409, 900)]));
    assert_eq!(results(&apis[0], product, &shoppers).await, (100, 900));
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (100, 0));
}

async fn over_http_alone_100_of_1000_new_shoppers_buy_100_units(system: impl System) {
    let (apis, _worker) = ([system.serve().await], system.worker().await);
    let api = &apis[0];
    let (sale, product) = system.sale(100).await;
    api.wait_until_open(&system, sale).await;
    let registrations =
        (0..1_000).map(|n| async move { api.register(&format!("shopper{n}")).await });
    let shoppers: Vec<Shopper> = stream::iter(registrations)
        .buffer_unordered(32)
        .collect()
        .await;

    let counts = everybody_buys(&apis, sale, &shoppers).await;
    assert_eq!(counts, StatusCounts::from([(200, 100), (409, 900)]));
    assert_eq!(results(api, product, &shoppers).await, (100, 900));
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (100, 0));
}

async fn one_api_and_one_worker_sell_100_units_to_1000_shoppers(system: impl System) {
    let (apis, _worker) = ([system.serve().await], system.worker().await);
    a_sale_of_100_units_to_1000_shoppers(&system, &apis).await;
}

#[tokio::test]
async fn two_apis_and_three_workers_do_the_same() {
    let system = Servers::start().await;
    let apis = [system.serve().await, system.serve().await];
    let _workers = [
        system.work().await,
        system.work().await,
        system.work().await,
    ];
    a_sale_of_100_units_to_1000_shoppers(&system, &apis).await;
}

#[tokio::test]
async fn a_redis_cluster_of_three_masters_does_the_same() {
    let system = Servers::start_on_cluster().await;
    let (apis, _worker) = ([system.serve().await], system.work().await);
    a_sale_of_100_units_to_1000_shoppers(&system, &apis).await;
}

async fn five_attempts_at_once_of_one_shopper_are_one_attempt(system: impl System) {
    let (api, worker) = (system.serve().await, system.worker().await);
    let (sale, _) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    let shopper = &system.shoppers(1).await[0];
    let answers = futures::future::join_all((0..5).map(|_| api.attempt(sale, shopper))).await;
    for answer in &answers {
        assert_eq!(answer.0, 200, "{answer:?}");
        assert_eq!(
            answer.1["data"]["attemptId"],
            answers[0].1["data"]["attemptId"]
        );
    }
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (1, 9));
    assert!(
        !system.worker_output(&api, &worker).contains("relay:"),
        "nothing was left to the relay"
    );
}

async fn a_holder_is_told_of_the_purchase_even_when_all_is_sold(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, _) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    let (_, first) = api.attempt(sale, &shoppers[0]).await;
    assert_eq!(api.attempt(sale, &shoppers[1]).await.0, 409);
    // The sold-out mark is made within 200 ms; before and after it the answers are the same.
    for _ in 0..20 {
        let (status, again) = api.attempt(sale, &shoppers[0]).await;
        assert_eq!(
            (status, &again["data"]["attemptId"]),
            (200, &first["data"]["attemptId"])
        );
        assert_eq!(api.attempt(sale, &shoppers[1]).await.0, 409);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    system.check_promises(sale).await;
}

#[tokio::test]
async fn an_emptied_redis_closes_the_sale_until_it_is_loaded_anew() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(100).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(300).await;
    let apis = [api];
    // While somebody else has the sale's row, accepted attempts wait in the log.
    let lock = system.database.client().await;
    let hold = format!("BEGIN; SELECT 1 FROM flash_sales WHERE id = {sale} FOR UPDATE");
    lock.batch_execute(&hold).await.unwrap();
    let early = everybody_buys(&apis, sale, &shoppers[..60]).await;
    assert_eq!(early, StatusCounts::from([(200, 60)]));

    system.redis.as_ref().unwrap().flushall();
    let response = apis[0]
        .http
        .post(format!("{}/api/flash-sale/attempt/{sale}", apis[0].url))
        .bearer_auth(&shoppers[100].token)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    worker
        .wait_for_line("loading it once the log is settled")
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        system.gate_balance(sale).await,
        None,
        "60 attempts are not settled"
    );
    lock.batch_execute("ROLLBACK").await.unwrap();

    wait_until(
        "the sale is open again",
        Duration::from_secs(10),
        || async { system.gate_balance(sale).await.is_some() },
    )
    .await;
    let late = everybody_buys(&apis, sale, &shoppers).await;
    assert_eq!(
        late,
        StatusCounts::from([(200, 100), (409, 200)]),
        "60 hold a unit, 40 get one"
    );
    assert_eq!(results(&apis[0], product, &shoppers).await, (100, 200));
    assert_eq!(system.check_promises(sale).await.orders, 100);
}

#[tokio::test]
async fn a_unit_held_by_a_dead_api_is_found_by_the_relay() {
    let system = Servers::start().await;
    let (sale, product) = system.sale(5).await;
    let worker = system.work().await;
    let api = system.serve().await;
    api.wait_until_open(&system, sale).await;
    let shopper = &system.shoppers(1).await[0];
    // What an API node leaves behind that dies between gate and log.
    let gate = system.gate().await;
    let holder = flashsale::port::Holder {
        user: flashsale::ids::UserId::new(shopper.id).unwrap(),
        attempt: flashsale::ids::AttemptId::generate(),
    };
    let reserved = {
        use flashsale::port::Reservations;
        gate.reserve(flashsale::ids::SaleId::new(sale).unwrap(), &[holder])
            .await
            .unwrap()
    };
    assert_eq!(reserved, [flashsale::port::ReserveOutcome::Reserved]);
    wait_until(
        "the shopper has a result",
        Duration::from_secs(15),
        || async { api.result(product, shopper).await.as_deref() == Some("SUCCESS") },
    )
    .await;
    worker.wait_for_line("relay").await;
    assert_eq!(system.check_promises(sale).await.orders, 1);
}

async fn a_shopper_without_an_account_is_refused_before_a_unit_is_taken(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let (nobody, somebody) = (Shopper::nobody(), system.shoppers(1).await.remove(0));
    let (status, body) = api.attempt(sale, &nobody).await;
    assert_eq!((status, &body["code"]), (401, &"token_invalid".into()));
    let path = format!("/api/orders/status/{product}");
    assert_eq!(api.get(&path, Some(&nobody)).await.0, 401);
    assert_eq!(system.log_end().await, 0);
    assert_eq!(api.attempt(sale, &somebody).await.0, 200);
    assert_eq!(system.check_promises(sale).await.orders, 1);
}

#[tokio::test]
async fn old_records_are_settled_and_garbage_goes_to_the_dead_letters() {
    let system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    let now = chrono::Utc::now().timestamp_millis();
    let old = |shopper: &Shopper| {
        format!(
            r#"{{"userId":"{}","productId":{product},"saleId":{sale},"timestamp":{now}}}"#,
            shopper.id
        )
    };
    let (first, second) = (old(&shoppers[0]), old(&shoppers[1]));
    let keys = [shoppers[0].id.to_string(), shoppers[1].id.to_string()];
    system.topic.produce_with_apache_s_client(&[
        (&keys[0], &first),
        (&keys[0], "garbage"),
        (&keys[0], &first),
        (&keys[1], &second),
        (
            &keys[1],
            r#"{"userId":"1","productId":1,"saleId":987654321,"timestamp":1}"#,
        ),
    ]);
    assert_eq!(results(&api, product, &shoppers).await, (2, 0));
    let balance = system.check_promises(sale).await;
    assert_eq!(
        (balance.orders, balance.remaining),
        (2, 3),
        "the same record twice is one order"
    );
    let letters = system
        .topic
        .records(&system.topic.config.dead_letter_topic)
        .await;
    let mut causes: Vec<_> = letters
        .iter()
        .map(|(_, letter)| {
            String::from_utf8(letter.record.headers["flashsale.cause"].clone()).unwrap()
        })
        .collect();
    causes.sort();
    assert_eq!(causes.len(), 2);
    assert!(causes[0].starts_with("not an attempt"), "{causes:?}");
    assert_eq!(causes[1], "there is no sale 987654321");
}

#[tokio::test]
async fn a_record_of_a_time_at_which_the_sale_was_not_open_is_no_order() {
    let system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(3).await;
    let now = chrono::Utc::now();
    let of = |shopper: &Shopper, at: chrono::DateTime<chrono::Utc>| {
        format!(
            r#"{{"userId":"{}","productId":{product},"saleId":{sale},"timestamp":{}}}"#,
            shopper.id,
            at.timestamp_millis()
        )
    };
    let records = [
        of(&shoppers[0], now - Duration::from_hours(1)),
        of(&shoppers[1], now + Duration::from_hours(2)),
        of(&shoppers[2], now),
    ];
    system.topic.produce_with_apache_s_client(&[
        ("1", &records[0]),
        ("1", &records[1]),
        ("1", &records[2]),
    ]);
    assert_eq!(results(&api, product, &shoppers[2..]).await, (1, 0));
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (1, 4));
    let causes = system.dead_letter_causes().await;
    assert_eq!(causes.len(), 2, "{causes:?}");
    for cause in causes {
        let expected = format!("is outside of sale {sale}, which was open from");
        assert!(cause.contains(&expected), "{cause}");
    }
    let recorded = "SELECT count(*) FROM purchase_attempts WHERE outcome = 'REJECTED' AND cause LIKE 'its time%'";
    assert_eq!(system.number(recorded).await, 2);
}

#[tokio::test]
async fn what_was_accepted_is_settled_whoever_dies() {
    let system = Servers::start().await;
    let apis = [system.serve().await, system.serve().await];
    let workers: Vec<Process> = vec![system.work().await, system.work().await];
    let (sale, product) = system.sale(200).await;
    for api in &apis {
        api.wait_until_open(&system, sale).await;
    }
    let shoppers = system.shoppers(400).await;
    let (accepted, ()) = tokio::join!(
        async {
            let api = &apis[0];
            let attempts = shoppers
                .iter()
                .map(|shopper| async move { (shopper, api.attempt(sale, shopper).await.0) });
            let answers: Vec<_> = stream::iter(attempts).buffer_unordered(16).collect().await;
            answers
                .into_iter()
                .filter(|(_, status)| *status == 200)
                .map(|(shopper, _)| shopper)
                .collect::<Vec<_>>()
        },
        async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            workers[0].kill();
        }
    );
    assert_eq!(accepted.len(), 200);
    let told: Vec<Shopper> = accepted.into_iter().cloned().collect();
    assert_eq!(results(&apis[1], product, &told).await, (200, 0));
    assert_eq!(system.check_promises(sale).await.orders, 200);
}
