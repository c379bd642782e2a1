//! `flashsale stress`: on a system of one process, on servers, on a system that lies, and on none.

use std::collections::BTreeMap;

use chrono::Utc;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    api::Shopper,
    process::{Process, complaint, free_port},
    system::{OneProcess, Servers, System},
};

async fn stress(
    url: &str,
    arguments: &[&str],
    environment: &BTreeMap<String, String>,
) -> (i32, Process) {
    let all = [&["stress", "--url", url], arguments].concat();
    let process = Process::start(&all, environment);
    let code = process.end().await.code().unwrap();
    (code, process)
}

/// The exit code and the document.
async fn document(
    url: &str,
    arguments: &[&str],
    environment: &BTreeMap<String, String>,
) -> (i32, Value) {
    let (code, process) = stress(url, &[&["--json"], arguments].concat(), environment).await;
    let document = serde_json::from_str(&process.answer());
    (
        code,
        document.unwrap_or_else(|_| panic!("{}", process.output())),
    )
}

/// The promises that are not kept.
fn not_kept(document: &Value) -> Vec<&str> {
    let promises = document["promises"].as_array().unwrap().iter();
    promises
        .filter(|promise| promise["state"] != "kept")
        .map(|promise| promise["name"].as_str().unwrap())
        .collect()
}

fn nothing() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[tokio::test]
async fn shoppers_of_one_process_buy_what_there_is() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let home = tempfile::TempDir::new().unwrap();
    let page = home.path().join("page.html");
    let environment = BTreeMap::from([
        ("STRESS_TEST_USERS".to_owned(), "20".to_owned()),
        ("STRESS_TEST_CONCURRENT".to_owned(), "4".to_owned()),
        ("API_BASE_URL".to_owned(), api.url.clone()),
    ]);
    let arguments = [
        "stress",
        "--presses",
        "3",
        "--json",
        "--report",
        page.to_str().unwrap(),
    ];
    let process = Process::start(&arguments, &environment);
    let code = process.end().await.code();
    let told: Value = serde_json::from_str(&process.answer()).unwrap();
    assert_eq!((code, &told["kept"]), (Some(0), &json!(true)), "{told:#}");
    assert_eq!(told["settings"]["shoppers"], 20);
    assert_eq!(told["settings"]["connections"], 4);
    assert_eq!(told["load"]["answers"], 60);
    assert_eq!(
        told["answers"],
        json!([{"status": 200, "code": null, "count": 15}, {"status": 409, "code": "sold_out", "count": 45}])
    );
    assert_eq!(told["results"]["success"], 5);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Every promise was kept"));
    assert_eq!(system.check_promises(sale).await.orders, 5);
}

#[tokio::test]
async fn minted_shoppers_buy_at_a_rate_and_servers_are_audited() {
    let system = Servers::start().await;
    let _worker = system.worker().await;
    let api = system.serve().await;
    let (sale, _) = system.sale(300).await;
    api.wait_until_open(&system, sale).await;
    let arguments = [
        "--mint-tokens",
        "--users",
        "400",
        "--rate",
        "400",
        "--concurrent",
        "20",
    ];
    let (code, told) = document(&api.url, &arguments, &system.environment).await;
    assert_eq!((code, not_kept(&told)), (0, vec![]), "{told:#}");
    assert_eq!(told["settings"]["tokens"], "minted");
    assert_eq!(told["results"]["success"], 300);
    assert_eq!(told["audit"]["clean"], true);
    assert!(
        told["load"]["elapsedMs"].as_f64().unwrap() > 990.0,
        "400 at 400 a second"
    );
    let accounts = "SELECT count(*) FROM users WHERE username LIKE 'stress-%'";
    assert_eq!(system.number(accounts).await, 400);

    let first = system.number("SELECT min(id) FROM users").await.to_string();
    let again = ["--mint-tokens", "--first-user", &first, "--users", "400"];
    let (code, told) = document(&api.url, &again, &system.environment).await;
    assert_eq!((code, not_kept(&told)), (0, vec![]), "{told:#}");
    assert_eq!(told["results"]["success"], 300, "the same orders");
    assert_eq!(system.number(accounts).await, 400, "none was added");

    // As with a ledger whose clock is ahead of this machine's, or when adding accounts took a while.
    let young = "INSERT INTO users (username, email, password_hash, created_at) \
        SELECT 'young-' || n, n || '@young.invalid', '-', now() + interval '1 hour' FROM generate_series(1, 3) AS n";
    system.sql(young).await;
    let youngest = system.number("SELECT max(id) - 2 FROM users").await;
    let youngest = ["--first-user", &youngest.to_string(), "--users", "3"].map(str::to_owned);
    let arguments: Vec<_> = std::iter::once("--mint-tokens")
        .chain(youngest.iter().map(String::as_str))
        .collect();
    let (_, told) = document(&api.url, &arguments, &system.environment).await;
    assert_eq!(told["answers"][0]["code"], "sold_out", "{told:#}");
    system
        .sql("DELETE FROM users WHERE username LIKE 'young-%'")
        .await;

    let more = ["--mint-tokens", "--first-user", &first, "--users", "401"];
    let (code, process) = stress(&api.url, &more, &system.environment).await;
    let output = process.output();
    assert_eq!(code, 2, "{output}");
    assert!(complaint(&output).contains("400 are there"), "{output}");

    let mut stranger = system.environment.clone();
    let secret = "another secret of the tests with more than 32 bytes";
    stranger.insert("JWT_SECRET".to_owned(), secret.to_owned());
    let (code, process) = stress(&api.url, &["--mint-tokens"], &stranger).await;
    let output = process.output();
    assert_eq!(code, 2, "{output}");
    assert!(complaint(&output).contains("JWT_SECRET"), "{output}");
    assert_eq!(system.number(accounts).await, 400, "none was added");

    // An attempt that is said to have failed beside its order, of which shoppers are told nothing: only the audit sees it.
    let attempt = format!("SELECT attempt_id FROM orders WHERE flash_sale_id = {sale} LIMIT 1");
    system
        .sql(&format!(
            "UPDATE purchase_attempts SET outcome = 'SOLD_OUT' WHERE attempt_id = ({attempt})"
        ))
        .await;
    let (code, told) = document(&api.url, &again, &system.environment).await;
    assert_eq!((code, not_kept(&told)), (1, vec!["audit"]), "{told:#}");
}

#[tokio::test]
async fn without_an_open_sale_nothing_is_pressed() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let (code, process) = stress(&api.url, &["--users", "2"], &nothing()).await;
    let output = process.output();
    assert_eq!(code, 2, "{output}");
    assert!(complaint(&output).contains("there is no sale"), "{output}");

    let hour = chrono::Duration::hours(1);
    let start = Utc::now() + hour;
    let (sale, _) = system.sale_in(5, start, start + hour).await;
    api.wait_until_known(&system, sale).await;
    let (code, process) = stress(&api.url, &["--users", "2"], &nothing()).await;
    let output = process.output();
    assert_eq!(code, 2, "{output}");
    let opens = start.format("%FT%H:%M").to_string();
    assert!(
        complaint(&output).contains(&format!("opens at {opens}")),
        "{output}"
    );
    let (status, _) = api
        .get("/api/orders/status/1", Some(&Shopper::nobody()))
        .await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn limits_of_the_system_are_waited_for() {
    let system = OneProcess::start().await;
    let limit = ("LIMIT_REGISTRATIONS_PER_ADDRESS", "60");
    let api = system.serve_as(&[limit, ("LIMIT_LOOPBACK", "true")]).await;
    let (sale, _) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let (code, process) = stress(&api.url, &["--users", "62"], &nothing()).await;
    let output = process.output();
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("waiting as it says"), "{output}");
}

#[tokio::test]
async fn limits_that_take_too_long_are_named() {
    let system = OneProcess::start().await;
    let limit = ("LIMIT_REGISTRATIONS_PER_ADDRESS", "2");
    let api = system.serve_as(&[limit, ("LIMIT_LOOPBACK", "true")]).await;
    let (sale, _) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let arguments = ["--users", "5", "--setup-timeout", "3"];
    let (code, process) = stress(&api.url, &arguments, &nothing()).await;
    let output = process.output();
    assert_eq!(code, 2, "{output}");
    let complaint = complaint(&output);
    assert!(
        complaint.contains("of 5 shoppers") && complaint.contains("--mint-tokens"),
        "{output}"
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_one_clear_line() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for (url, arguments, named) in [
        (nobody.as_str(), &[][..], "cannot be reached"),
        ("ftp://localhost", &[], "not a base URL"),
        (
            &nobody,
            &["--report", "/nowhere/page.html"],
            "cannot be written",
        ),
    ] {
        let (code, process) = stress(url, arguments, &nothing()).await;
        let output = process.output();
        assert_eq!(code, 2, "{output}");
        assert!(complaint(&output).contains(named), "{output}");
        assert_eq!(process.answer(), "");
    }
    for arguments in [
        &["--users", "0"][..],
        &["--rate", "0"],
        &["--first-user", "1"],
    ] {
        let (code, process) = stress(&nobody, arguments, &nothing()).await;
        let output = process.output();
        assert_eq!(code, 2, "{output}");
        assert!(output.contains(arguments[0]), "{output}");
    }
}

/// It sells its one unit to everybody, each time under another id.
#[tokio::test]
async fn a_system_that_breaks_promises_is_found_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(lie(stream));
        }
    });
    let arguments = ["--users", "4", "--presses", "2", "--settle-timeout", "1"];
    let (code, told) = document(&url, &arguments, &nothing()).await;
    assert_eq!((code, &told["kept"]), (1, &json!(false)), "{told:#}");
    assert_eq!(
        not_kept(&told),
        [
            "never_oversold",
            "one_attempt_each",
            "sold_and_remaining_fit"
        ]
    );
    let (_, process) = stress(&url, &arguments, &nothing()).await;
    let answer = process.answer();
    assert!(
        answer.contains("BROKEN   never oversold: 4 SUCCESS of 1 units"),
        "{answer}"
    );
}

async fn lie(mut stream: TcpStream) {
    let mut request = vec![0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut request).await {
        let text = String::from_utf8_lossy(&request[..read]).into_owned();
        let data = match text.split(' ').nth(1).unwrap() {
            "/api/auth/register" => json!({"userId": "1"}),
            "/api/auth/login" => json!({"token": "token", "userId": "1"}),
            "/api/flash-sale/status" => json!({
                "id": 1, "status": "active", "startTime": "", "endTime": "", "currentTime": "", "productId": 1,
                "productName": "Air", "productDescription": "", "initialStock": 1, "remainingStock": 1,
            }),
            "/api/flash-sale/attempt/1" => {
                json!({"attemptId": uuid::Uuid::new_v4(), "status": "PENDING"})
            }
            _ => json!({"productId": 1, "userId": "1", "status": "SUCCESS"}),
        };
        let body = json!({"success": true, "data": data}).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
}
