//! `flashsale product`, `sale` and `actions`: the same as over HTTP.

use std::time::Duration;

use serde_json::Value;

use super::desk::accepted;
use crate::support::{
    process::{Process, complaint},
    system::{OneProcess, Servers, System},
    wait_until,
};

/// What both systems can do.
trait Commands: System {
    fn command(&self, arguments: &[&str]) -> Process;

    async fn answer(&self, arguments: &[&str]) -> String {
        let process = self.command(arguments);
        let (success, output) = process.outcome().await;
        assert!(success, "{arguments:?}: {output}");
        process.answer()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.answer(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"))
    }

    async fn refusal(&self, arguments: &[&str]) -> String {
        let (success, output) = self.command(arguments).outcome().await;
        assert!(!success, "{output}");
        complaint(&output).to_owned()
    }
}

impl Commands for Servers {
    fn command(&self, arguments: &[&str]) -> Process {
        self.run_with(arguments, &[("LOGNAME", "ann")])
    }
}

impl Commands for OneProcess {
    fn command(&self, arguments: &[&str]) -> Process {
        self.run_with(arguments, &[("LOGNAME", "ann")])
    }
}

/// While the system sells, also on a data directory that a process serves.
async fn a_sale_is_run_from_the_command_line<S: Commands>() {
    let system = S::start().await;
    let _worker = system.worker().await;
    let api = system.serve().await;
    let product = system
        .json(&[
            "product",
            "create",
            "--sku",
            "SHOE-7",
            "--name",
            "Trail shoe",
            "--price-cents",
            "9900",
            "--currency",
            "EUR",
        ])
        .await;
    let product = product["id"].to_string();
    let taken = [
        "product",
        "create",
        "--sku",
        "SHOE-7",
        "--name",
        "x",
        "--price-cents",
        "1",
        "--currency",
        "EUR",
    ];
    assert!(system.refusal(&taken).await.contains("SKU"));
    let wrong = ["product", "edit", &product, "--currency", "euro"];
    assert!(system.refusal(&wrong).await.contains("currency must be"));
    let edited = system
        .json(&[
            "product",
            "edit",
            &product,
            "--price-cents",
            "8900",
            "--if-version",
            "1",
        ])
        .await;
    assert_eq!(edited["priceCents"], 8900);
    let stale = [
        "product",
        "edit",
        &product,
        "--name",
        "y",
        "--if-version",
        "1",
    ];
    assert!(system.refusal(&stale).await.contains("version is 2"));
    assert!(system.answer(&["product", "list"]).await.contains("SHOE-7"));

    let (start, end) = ("2020-01-01T12:00:00Z", "2040-01-01T12:00:00Z");
    let sale = system
        .json(&[
            "sale",
            "create",
            "--product",
            &product,
            "--start",
            start,
            "--end",
            end,
            "--units",
            "1000",
        ])
        .await;
    assert_eq!(sale["phase"], "draft");
    let (number, sale) = (sale["id"].as_i64().unwrap(), sale["id"].to_string());
    let text = system
        .answer(&["sale", "publish", &sale, "--reason", "Noon"])
        .await;
    assert!(text.contains("open") && text.contains("in force"), "{text}");
    system.wait_until_open(number).await;
    let shoppers = system.shoppers(400).await;
    api.wait_until_open(&system, number).await;
    assert_eq!(accepted(&api, number, &shoppers[..4]).await, 4);

    // Each press by another one: who was accepted before the pause is told of that for ever.
    let next = std::sync::atomic::AtomicUsize::new(4);
    let press = async || {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        api.attempt(number, &shoppers[n]).await
    };
    system.answer(&["sale", "pause", &sale]).await;
    wait_until("the gate knows", Duration::from_secs(3), || async {
        press().await.1["code"] == "paused"
    })
    .await;
    system.answer(&["sale", "resume", &sale]).await;
    wait_until("the gate knows", Duration::from_secs(3), || async {
        press().await.0 == 200
    })
    .await;
    system
        .answer(&["sale", "stock", &sale, "5", "--reason", "Found"])
        .await;
    system
        .answer(&["sale", "stock", &sale, "-1005", "--up-to"])
        .await;
    wait_until("the units are gone", Duration::from_secs(5), || async {
        let balance = system.balance(number).await;
        balance.initial == balance.orders
    })
    .await;
    let balance = system.check_promises(number).await;
    assert!(balance.orders >= 5 && balance.remaining == 0, "{balance:?}");

    let shown = system.json(&["sale", "show", &sale]).await;
    assert_eq!(shown["units"], balance.orders);
    assert_eq!(shown["balance"]["sold"], balance.orders);
    let csv = system.answer(&["sale", "orders", &sale]).await;
    let lines = i64::try_from(csv.lines().count()).unwrap();
    assert_eq!(lines, balance.orders + 1, "{csv}");
    let ndjson = system
        .answer(&["sale", "orders", &sale, "--format", "ndjson"])
        .await;
    assert!(
        ndjson
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    let edited = system
        .json(&["sale", "edit", &sale, "--note", "Nearly sold out"])
        .await;
    assert_eq!(edited["note"], "Nearly sold out");
    let ended = system.json(&["sale", "end", &sale]).await;
    assert_eq!(ended["phase"], "ended");
    assert!(
        system
            .refusal(&["sale", "cancel", &sale])
            .await
            .contains("ended")
    );
    assert!(
        system
            .refusal(&["sale", "show", "999999"])
            .await
            .contains("no such")
    );
    assert!(system.answer(&["sale", "list"]).await.contains("ended"));

    let actions = system.json(&["actions", "--sale", &sale]).await;
    let actions = actions.as_array().unwrap();
    assert!(
        actions.iter().all(|action| action["actor"] == "cli:ann"),
        "{actions:?}"
    );
    let published = actions
        .iter()
        .find(|action| action["action"] == "publish_sale");
    assert_eq!(published.unwrap()["reason"], "Noon");
    let text = system.answer(&["actions"]).await;
    assert!(
        text.contains("pause_sale") && text.contains("cli:ann"),
        "{text}"
    );
}

#[tokio::test]
async fn a_sale_is_run_from_the_command_line_on_servers() {
    a_sale_is_run_from_the_command_line::<Servers>().await;
}

#[tokio::test]
async fn a_sale_is_run_from_the_command_line_while_one_process_serves() {
    a_sale_is_run_from_the_command_line::<OneProcess>().await;
}

#[tokio::test]
async fn who_changes_something_says_who_they_are() {
    let system = OneProcess::start().await;
    let process = system.run(&["sale", "pause", "1"]);
    let (success, output) = process.outcome().await;
    assert!(!success && complaint(&output).contains("--by"), "{output}");
}
