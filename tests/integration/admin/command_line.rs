//! `flashsale product`, `sale` and `actions`: the same as over HTTP.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::desk::accepted;
use crate::support::{
    api::{Api, Shopper},
    process::{Process, complaint},
    system::{OneProcess, Servers, System},
    wait_until,
};

/// For what the control loop completes within two seconds, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// What both systems can do.
pub(super) trait Commands: System {
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

on_systems! {
    a_sale_is_run_from_the_command_line,
}

/// While the system sells, also on a data directory that a process serves.
async fn a_sale_is_run_from_the_command_line(system: impl Commands) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let product = make_and_edit_a_product(&system).await;
    let sale = make_and_publish_a_sale(&system, &product).await;
    system.wait_until_open(sale).await;
    let shoppers = system.shoppers(400).await;
    api.wait_until_open(&system, sale).await;
    assert_eq!(accepted(&api, sale, &shoppers[..4]).await, 4);
    pause_and_change_units(&system, &api, sale, &shoppers[4..]).await;
    let orders = system.check_promises(sale).await.orders;
    read_and_end(&system, sale, orders).await;
    read_actions(&system, sale).await;
}

/// Its id.
async fn make_and_edit_a_product<S: Commands>(system: &S) -> String {
    let create = |name: &'static str, price: &'static str| {
        let fields = ["--sku", "SHOE-7", "--currency", "EUR"];
        let more = ["--name", name, "--price-cents", price];
        [&["product", "create"][..], &fields, &more].concat()
    };
    let product = system.json(&create("Trail shoe", "9900")).await;
    let product = product["id"].to_string();
    assert!(system.refusal(&create("x", "1")).await.contains("SKU"));
    let edit = ["product", "edit", &product];
    let wrong = [&edit[..], &["--currency", "euro"]].concat();
    assert!(system.refusal(&wrong).await.contains("currency must be"));
    let priced = [&edit[..], &["--price-cents", "8900", "--if-version", "1"]].concat();
    assert_eq!(system.json(&priced).await["priceCents"], 8900);
    let stale = [&edit[..], &["--name", "y", "--if-version", "1"]].concat();
    assert!(system.refusal(&stale).await.contains("version is 2"));
    assert!(system.answer(&["product", "list"]).await.contains("SHOE-7"));
    product
}

async fn make_and_publish_a_sale<S: Commands>(system: &S, product: &str) -> i64 {
    let window = [
        "--start",
        "2020-01-01T12:00:00Z",
        "--end",
        "2040-01-01T12:00:00Z",
    ];
    let fields = ["--product", product, "--units", "1000"];
    let made = [&["sale", "create"][..], &fields, &window].concat();
    let sale = system.json(&made).await;
    assert_eq!(sale["phase"], "draft");
    let id = sale["id"].to_string();
    let text = system
        .answer(&["sale", "publish", &id, "--reason", "Noon"])
        .await;
    assert!(text.contains("open") && text.contains("in force"), "{text}");
    sale["id"].as_i64().unwrap()
}

/// Each press is another shopper's: the answer to one who was accepted before the pause stays the same.
async fn pause_and_change_units<S: Commands>(
    system: &S,
    api: &Api,
    sale: i64,
    shoppers: &[Shopper],
) {
    let next = AtomicUsize::new(0);
    let press = async || {
        let shopper = &shoppers[next.fetch_add(1, Ordering::Relaxed)];
        api.attempt(sale, shopper).await
    };
    let id = sale.to_string();
    system.answer(&["sale", "pause", &id]).await;
    wait_until("the gate is paused", SOON, || async {
        press().await.1["code"] == "paused"
    })
    .await;
    system.answer(&["sale", "resume", &id]).await;
    wait_until("the gate sells again", SOON, || async {
        press().await.0 == 200
    })
    .await;
    system
        .answer(&["sale", "stock", &id, "5", "--reason", "Found"])
        .await;
    system
        .answer(&["sale", "stock", &id, "-1005", "--up-to"])
        .await;
    wait_until("the units are gone", SOON, || async {
        let balance = system.balance(sale).await;
        balance.initial == balance.orders && balance.orders >= 5
    })
    .await;
}

async fn read_and_end<S: Commands>(system: &S, sale: i64, orders: i64) {
    let id = sale.to_string();
    let shown = system.json(&["sale", "show", &id]).await;
    assert_eq!(
        (&shown["units"], &shown["balance"]["sold"]),
        (&json!(orders), &json!(orders))
    );
    let csv = system.answer(&["sale", "orders", &id]).await;
    let lines = i64::try_from(csv.lines().count()).unwrap();
    assert_eq!(lines, orders + 1, "{csv}");
    let ndjson = system
        .answer(&["sale", "orders", &id, "--format", "ndjson"])
        .await;
    let is_json = |line| serde_json::from_str::<Value>(line).is_ok();
    assert!(ndjson.lines().all(is_json), "{ndjson}");
    let edited = system
        .json(&["sale", "edit", &id, "--note", "Nearly sold out"])
        .await;
    assert_eq!(edited["note"], "Nearly sold out");
    assert_eq!(system.json(&["sale", "end", &id]).await["phase"], "ended");
    let refused = system.refusal(&["sale", "cancel", &id]).await;
    assert!(refused.contains("ended"), "{refused}");
    let refused = system.refusal(&["sale", "show", "999999"]).await;
    assert!(refused.contains("no such"), "{refused}");
    assert!(system.answer(&["sale", "list"]).await.contains("ended"));
}

async fn read_actions<S: Commands>(system: &S, sale: i64) {
    let actions = system.json(&["actions", "--sale", &sale.to_string()]).await;
    let actions = actions.as_array().unwrap();
    let is_ann = |action: &Value| action["actor"] == "cli:ann";
    assert!(actions.iter().all(is_ann), "{actions:?}");
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
async fn who_changes_something_says_who_they_are() {
    let system = OneProcess::start().await;
    let process = system.run(&["sale", "pause", "1"]);
    let (success, output) = process.outcome().await;
    assert!(!success && complaint(&output).contains("--by"), "{output}");
}
