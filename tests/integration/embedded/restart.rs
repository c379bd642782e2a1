//! A process that ends, in order or not, and the next one on the same directory.

use std::time::{Duration, Instant};

use super::load::{Moment, Sale};
use crate::support::{
    api::Shopper,
    process::Process,
    system::{OneProcess, System},
    wait_until,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_restart_keeps_users_orders_results_and_stock() {
    everything_is_there_after(async |process| {
        process.terminate();
        assert!(process.end().await.success(), "{}", process.output());
    })
    .await;
}

#[tokio::test]
async fn kill_9_keeps_users_orders_results_and_stock() {
    everything_is_there_after(async |process| process.kill()).await;
}

async fn everything_is_there_after(end: impl AsyncFn(&Process)) {
    let system = OneProcess::start().await;
    let (running, over) = (system.sale(3).await, system.sale(1).await);
    let api = system.serve().await;
    let (winner, loser) = (api.register("winner").await, api.register("loser").await);
    let nobody = Shopper::nobody();
    for sale in [running, over] {
        system.wait_until_open(sale.0).await;
    }
    let (_, bought) = api.attempt(running.0, &winner).await;
    assert_eq!(api.attempt(running.0, &nobody).await.0, 401);
    assert_eq!(api.attempt(over.0, &winner).await.0, 200);
    assert_eq!(api.attempt(over.0, &loser).await.0, 409);
    let read = [
        (running.1, &winner, "SUCCESS"),
        (over.1, &winner, "SUCCESS"),
        (over.1, &loser, "FAILED"),
    ];
    for (product, shopper, result) in read {
        wait_until("everybody has a result", PATIENCE, async || {
            api.result(product, shopper).await.as_deref() == Some(result)
        })
        .await;
    }
    for sale in [running, over] {
        system.check_promises(sale.0).await;
    }
    let ended = system.instant(chrono::Utc::now() - Duration::from_secs(2));
    let close = format!(
        "UPDATE flash_sales SET end_time = {ended} WHERE id = {}",
        over.0
    );
    system.sql(&close).await;
    wait_until("the sale has ended", PATIENCE, async || {
        api.attempt(over.0, &loser).await.0 == 410
    })
    .await;
    end(&api.process).await;

    let api = system.serve().await;
    for (name, shopper) in [("winner", &winner), ("loser", &loser)] {
        assert_eq!(api.login(name, "password123").await.id, shopper.id);
    }
    for (product, shopper, result) in read {
        // Nobody is told FAILED while the sale is being loaded.
        wait_until("the result is there", PATIENCE, async || {
            let kept = api.result(product, shopper).await;
            assert!(kept.is_none() || kept.as_deref() == Some(result));
            kept.is_some()
        })
        .await;
    }
    let balance = system.check_promises(running.0).await;
    assert_eq!((balance.orders, balance.remaining), (1, 2));
    let (_, again) = api.attempt(running.0, &winner).await;
    assert_eq!(again["data"]["attemptId"], bought["data"]["attemptId"]);
    assert_eq!(again["data"]["status"], "SUCCESS");
    let ended = system.balance(over.0).await;
    assert_eq!((ended.orders, ended.remaining), (1, 0));
    assert_eq!(api.attempt(over.0, &loser).await.0, 410);
}

#[tokio::test]
async fn nobody_is_told_failed_before_what_was_accepted_is_settled() {
    let system = OneProcess::start().await;
    let (sale, product) = system.sale(1).await;
    let shoppers = system.shoppers(1).await;
    let user = shoppers[0].id;
    // Refused first, accepted later, and killed before that was settled.
    let record = format!(
        r#"{{"userId":"{user}","productId":{product},"saleId":{sale},"timestamp":{}}}"#,
        chrono::Utc::now().timestamp_millis()
    );
    let later = system.instant(chrono::Utc::now() + PATIENCE * 100);
    for statement in [
        format!("INSERT INTO results VALUES ({user}, {product}, {sale}, 'FAILED', {later})"),
        format!("INSERT INTO attempt_log VALUES (0, CAST('{record}' AS BLOB), {later})"),
    ] {
        system.sql(&statement).await;
    }
    let waits = system
        .serve_with(&[], &[("ENABLE_CONSUMER", "false")])
        .await;
    for _ in 0..3 {
        assert_eq!(waits.result(product, &shoppers[0]).await, None);
    }
    waits.process.terminate();
    waits.process.end().await;
    let api = system.serve().await;
    wait_until("the result is there", PATIENCE, async || {
        let told = api.result(product, &shoppers[0]).await;
        assert_ne!(told.as_deref(), Some("FAILED"));
        told.as_deref() == Some("SUCCESS")
    })
    .await;
}

#[tokio::test]
async fn a_process_that_is_asked_to_stop_under_load_ends_in_time_and_keeps_what_it_accepted() {
    let system = OneProcess::start().await;
    let shoppers = system.shoppers(200).await;
    let mut sale = Sale::of(&system, 150).await;
    let api = system.serve().await;
    let mut asked = Instant::now();
    let ask = |process: &Process| {
        asked = Instant::now();
        process.terminate();
    };
    sale.press(&api, &shoppers, Moment::Answers(60), ask).await;
    assert!(
        api.process.end().await.success(),
        "{}",
        api.process.output()
    );
    // SHUTDOWN_TIMEOUT_SECS.
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    assert!(sale.accepted() >= 60, "{}", sale.accepted());

    let api = system.serve().await;
    sale.check(&system, &api).await;
}
