//! What an API node knows of the world: sales that were made a moment ago, and the time, whatever its machine's clock says.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::join_all;

use crate::support::{
    api::Api,
    process::faketime,
    system::{Servers, System},
    wait_until,
};

/// A metric's value.
async fn metric(api: &Api, name: &str) -> Option<f64> {
    let page = api.http.get(format!("{}/metrics", api.url)).send().await;
    let page = page.unwrap().text().await.unwrap();
    let line = page.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn a_sale_that_was_made_a_moment_ago_is_known() {
    let system = Servers::start().await;
    let (first, second) = (system.serve().await, system.serve().await);
    let shoppers = system.shoppers(2).await;
    // The first of all, which is shown at once.
    let (sale, _) = system.sale(5).await;
    let (status, body) = first
        .get("/api/flash-sale/status", Some(&shoppers[0]))
        .await;
    assert_eq!((status, body["data"]["id"].as_i64()), (200, Some(sale)));
    let mut sales = vec![sale];
    for _ in 0..5 {
        let (sale, _) = system.sale(5).await;
        for (api, shopper) in [&first, &second].into_iter().zip(&shoppers) {
            let (status, body) = api.attempt(sale, shopper).await;
            // No worker has loaded it yet.
            assert_eq!(
                (status, body["code"].as_str()),
                (503, Some("sale_preparing")),
                "{body}"
            );
        }
        sales.push(sale);
    }
    let (status, _) = first.attempt(sale + 1_000, &shoppers[0]).await;
    assert_eq!(status, 404);

    let _worker = system.work().await;
    for sale in &sales {
        system.wait_until_open(*sale).await;
        assert_eq!(first.attempt(*sale, &shoppers[0]).await.0, 200);
    }
    for sale in sales {
        system.check_promises(sale).await;
    }
}

/// How often the table of sales was read. A session tells its numbers within a second.
async fn readings(system: &Servers) -> i64 {
    system
        .number(
            "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'flash_sales'",
        )
        .await
}

#[tokio::test]
async fn questions_about_unknown_sales_put_no_load_on_the_ledger() {
    let system = Servers::start().await;
    let api = system.serve().await;
    let shoppers = system.shoppers(50).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let quiet = {
        let (begun, before) = (Instant::now(), readings(&system).await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let read = readings(&system).await - before;
        // Once a second; however many looks at the table one reading is.
        #[allow(clippy::cast_precision_loss)] // a count of scans
        let read = read.max(1) as f64;
        read / begun.elapsed().as_secs_f64()
    };

    let (begun, before) = (Instant::now(), readings(&system).await);
    let mut asked = 0_i64;
    while begun.elapsed() < Duration::from_secs(5) {
        let presses = shoppers
            .iter()
            .zip(1_000_000 + asked..)
            .map(|(shopper, sale)| api.attempt(sale, shopper));
        for (status, body) in join_all(presses).await {
            assert_eq!(status, 404, "{body}");
            asked += 1;
        }
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let elapsed = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // a count of scans
    let read = (readings(&system).await - before) as f64 / elapsed;
    assert!(asked > 500, "{asked}: nobody waits long");
    assert!(
        read <= quiet * 11.0 + 1.0,
        "{read} readings a second for {asked} questions, {quiet} without any"
    );
}

/// A node whose machine's clock is off.
async fn serve_at(system: &Servers, offset: &str) -> Api {
    let clock_off = faketime(offset);
    let clock_off: Vec<_> = clock_off
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    system.serve_with(&clock_off).await
}

async fn a_node_whose_clock_is_off(offset: &str, seconds: f64) {
    let system = Servers::start().await;
    let _worker = system.work().await;
    // Open for five minutes yet: ten minutes from now it is over, and ten minutes ago it had not begun.
    let (now, minutes) = (Utc::now(), chrono::Duration::minutes(5));
    let (sale, product) = system.sale_in(2, now - minutes, now + minutes).await;
    let hours = chrono::Duration::hours(1);
    let (over, _) = system.sale_in(2, now - hours, now - minutes).await;
    let (later, _) = system.sale_in(2, now + minutes, now + hours).await;
    let shoppers = system.shoppers(3).await;
    system.wait_until_open(sale).await;
    let api = serve_at(&system, offset).await;

    for shopper in &shoppers[..2] {
        let (status, body) = api.attempt(sale, shopper).await;
        assert_eq!(status, 200, "{body}");
    }
    let (status, body) = api.attempt(sale, &shoppers[2]).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("sold_out")));
    let (_, body) = api.attempt(over, &shoppers[0]).await;
    assert_eq!(body["code"], "ended");
    let (_, body) = api.attempt(later, &shoppers[0]).await;
    assert_eq!(body["code"], "not_started");

    let (status, body) = api.get("/api/flash-sale/status", Some(&shoppers[0])).await;
    assert_eq!(
        (status, &body["data"]["status"], body["data"]["id"].as_i64()),
        (200, &"active".into(), Some(sale)),
        "{body}"
    );
    let shown = body["data"]["currentTime"].as_str().unwrap();
    let shown: DateTime<Utc> = shown.parse().unwrap();
    assert!(
        (Utc::now() - shown).abs() < chrono::Duration::seconds(2),
        "{body}"
    );
    wait_until("the result is read", Duration::from_secs(10), || async {
        api.result(product, &shoppers[0]).await.as_deref() == Some("SUCCESS")
    })
    .await;

    let (status, body) = api.get("/health/ready", None).await;
    assert_eq!(
        (status, &body["status"]),
        (503, &"not_ready".into()),
        "{body}"
    );
    assert_eq!(body["dependencies"]["clock"], "down", "{body}");
    assert_eq!(body["dependencies"]["gate"], "up", "{body}");
    let offset = metric(&api, "flashsale_clock_offset_seconds")
        .await
        .unwrap();
    assert!((offset - seconds).abs() < 5.0, "{offset}");
    system.check_promises(sale).await;
}

#[tokio::test]
async fn a_node_that_is_ten_minutes_ahead_decides_by_the_gate_s_clock() {
    a_node_whose_clock_is_off("+600s", 600.0).await;
}

#[tokio::test]
async fn a_node_that_is_ten_minutes_behind_decides_by_the_gate_s_clock() {
    a_node_whose_clock_is_off("-600s", -600.0).await;
}

#[tokio::test]
async fn a_node_that_drains_says_so_and_ends_well() {
    let system = Servers::start().await;
    let api = system.serve_with(&[("DRAIN_DELAY_SECS", "3")]).await;
    let (status, body) = api.get("/health/ready", None).await;
    assert_eq!((status, &body["status"]), (200, &"ready".into()), "{body}");
    api.process.terminate();
    wait_until("it says that it drains", Duration::from_secs(2), || async {
        let (status, body) = api.get("/health/ready", None).await;
        status == 503 && body["status"] == "draining"
    })
    .await;
    assert_eq!(api.get("/health", None).await.0, 200);
    assert!(api.process.end().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once_and_ctrl_c_has_no_delay() {
    let system = Servers::start().await;
    let long = [("DRAIN_DELAY_SECS", "600")];
    let api = system.serve_with(&long).await;
    api.process.terminate();
    api.process
        .wait_for_line("a second signal ends at once")
        .await;
    api.process.terminate();
    assert_eq!(api.process.end().await.code(), Some(130));

    let api = system.serve_with(&long).await;
    api.process.interrupt();
    assert!(api.process.end().await.success());
}
